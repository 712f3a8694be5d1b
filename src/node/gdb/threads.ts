import { RIP, STATE_WORDS } from "../../cpu/index.js";
import { patchStateName } from "../../linux/klp/index.js";
import type { task_struct } from "../../linux/sched/index.js";
import { type Machine, placeOf } from "../../machine/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import { xml } from "../../report/index.js";

/** Thread numbers of idle tasks begin behind the largest pid of Linux (PID_MAX_LIMIT): all of them have pid 0. */
const IDLE_THREADS = 4_194_304;

/** Where a task is that executes no guest code: addresses without memory, which have symbols and no caller. */
export const OUTSIDE = {
	/** Kernel code that is TypeScript. */
	host: { name: "kernel_code_in_typescript", address: -0xf_0000 },
	user: { name: "in_user_mode", address: -0xe_f000 },
} as const;
export const OUTSIDE_SIZE = 16;

/** A task as a debugger sees it. */
export interface ThreadState {
	readonly id: number;
	readonly name: string;
	/** CPU, patch_state, place: one line. */
	readonly extra: string;
	/** The CPU that it is on, or -1. */
	readonly cpu: number;
	/** Its registers, as {@link STATE_WORDS} says. */
	readonly words: BigUint64Array;
}

export function threadOf(task: task_struct): number {
	return task.idle ? IDLE_THREADS + 1 + task.pinned : task.pid;
}

/** All threads of a machine. `executing`: the current task is about to execute an instruction, so that its registers are the Cpu's. */
export function threadsOf(machine: Machine, executing: boolean): ThreadState[] {
	const { sched, cpu } = machine;
	return [...sched.tasks, ...sched.exiting, ...sched.cpus.map(({ idle }) => idle)].map((task) => {
		const live = executing && task === sched.current;
		const outside = live ? undefined : outsideOf(task);
		const words =
			outside === undefined ? (live ? cpu.state : task.regs).words.slice() : new BigUint64Array(STATE_WORDS);
		if (outside !== undefined) words[RIP] = toU64(outside);
		const where = live ? "executes" : placeOf(machine, task);
		const on = task.on_cpu >= 0 ? `CPU ${task.on_cpu}, ` : "";
		const pending = task.pending ? ", TIF_PATCH_PENDING" : "";
		const extra = `${on}${patchStateName(task.patch_state)}${pending}, ${where}`;
		return { id: threadOf(task), name: task.comm, extra, cpu: task.on_cpu, words };
	});
}

function outsideOf(task: task_struct): Kaddr | undefined {
	if (task.mode === "host") return OUTSIDE.host.address;
	return task.mode === "user" || task.stack === undefined ? OUTSIDE.user.address : undefined;
}

/** The list of threads for qXfer:threads:read. Names come from scenarios: they are letters, digits and marks. */
export function threadXml(threads: readonly ThreadState[]): string {
	const lines = threads.map(({ id, name, extra, cpu }) => {
		const core = cpu >= 0 ? ` core="${cpu}"` : "";
		return `<thread id="${id.toString(16)}"${core} name="${ascii(name)}">${ascii(extra)}</thread>`;
	});
	return `<?xml version="1.0"?><threads>${lines.join("")}</threads>`;
}

/** The characters of a reply are bytes; gdb takes them for ASCII. */
function ascii(text: string): string {
	return xml(text).replace(/[^ -~]/g, "?");
}
