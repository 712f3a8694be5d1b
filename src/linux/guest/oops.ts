import { KlpemuError } from "../../base/index.js";
import type { CpuState, Fault, FaultKind } from "../../cpu/index.js";
import { hex, isKaddr, type Memory, toKaddr } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import { type Dmesg, type Kallsyms, Printer } from "../lib/index.js";
import type { HostTasks, Sched, task_struct } from "../sched/index.js";
import { type Bug, report_bug } from "./bug.js";
import { fixup_exception } from "./extable.js";

/** Bytes of the instruction behind which a WARN() goes on. */
const UD2_SIZE = 2n;

/** The words of die() in arch/x86/kernel/traps.c; an error code follows. */
const WORDS: Readonly<Record<Exclude<FaultKind, "page-fault">, string>> = {
	"divide-error": "divide error",
	"invalid-opcode": "invalid opcode",
	breakpoint: "int3",
	"general-protection": "general protection fault",
	"stack-segment": "stack segment",
};

/** Events for observers. */
export interface OopsObserver {
	/** A task dies of a fault at `rip`. `task.oops` is the reason. */
	oops?(task: task_struct, fault: Fault, rip: bigint): void;
}

/** The end of a task for which a kernel oopses (arch/x86/kernel/dumpstack.c, oops_end). */
export class Oops {
	readonly #memory: Memory;
	readonly #dmesg: Dmesg;
	readonly #kallsyms: Kallsyms;
	readonly #print: Printer;
	readonly #symbols: Symbols;
	readonly #sched: Sched;
	readonly #hostTasks: HostTasks;
	readonly #observers: Iterable<OopsObserver>;

	constructor(parts: {
		readonly memory: Memory;
		readonly kallsyms: Kallsyms;
		readonly dmesg: Dmesg;
		readonly symbols: Symbols;
		readonly sched: Sched;
		readonly hostTasks: HostTasks;
		readonly observers: Iterable<OopsObserver>;
	}) {
		this.#memory = parts.memory;
		this.#dmesg = parts.dmesg;
		this.#kallsyms = parts.kallsyms;
		this.#print = new Printer(parts.dmesg, "");
		this.#symbols = parts.symbols;
		this.#sched = parts.sched;
		this.#hostTasks = parts.hostTasks;
		this.#observers = parts.observers;
	}

	#bugAt(fault: Fault, rip: bigint): Bug | undefined {
		if (fault.kind !== "invalid-opcode" || !isKaddr(rip)) return undefined;
		return report_bug(this.#memory, this.#kallsyms, toKaddr(rip));
	}

	/**
	 * handle_bug() of arch/x86/kernel/traps.c, and fixup_exception(). True if the Cpu goes on: behind the ud2 of a WARN(), which is
	 * printed, or at the fixup of an instruction that may fault.
	 */
	handle_bug(task: task_struct, fault: Fault, state: CpuState): boolean {
		const { rip } = state;
		const bug = this.#bugAt(fault, rip);
		if (bug === undefined || bug.kind === "bug") return fixup_exception(this.#kallsyms, fault, state);
		state.rip = rip + UD2_SIZE;
		if (bug.kind === "warned") return true;
		const where = this.#symbols.sprint_symbol(toKaddr(rip), false);
		const cpu = Math.max(task.on_cpu, 0);
		this.#dmesg.WARN_ON(true, `CPU: ${cpu} PID: ${task.pid} at ${bug.file}:${bug.line} ${where}`);
		return true;
	}

	/** Prints why `task` dies, and removes it from the task list. `where`: the place of kernel code in TypeScript, which has no rip. */
	die(
		task: task_struct,
		fault: Fault,
		rip: bigint,
		where = this.#symbols.symbolize(Number(BigInt.asIntN(32, rip))),
	): void {
		const what = this.#words(fault, rip);
		this.#print.pr_warn(what);
		this.#print.pr_warn(`RIP: 0010:${where}${fault.detail ? ` (${fault.detail})` : ""}`);
		task.oops = `${what} at ${where}`;
		for (const observer of this.#observers) observer.oops?.(task, fault, rip);
		// make_task_dead(): preempt_count_set(PREEMPT_ENABLED). With a compiled core the count is the CPU's.
		task.preempt_count = 0;
		this.#sched.remove(task);
		this.#hostTasks.replace(task);
	}

	/** The first line, in the kernel's words. */
	#words(fault: Fault, rip: bigint): string {
		const bug = this.#bugAt(fault, rip);
		if (bug !== undefined) return `kernel BUG at ${bug.file}:${bug.line}!`;
		if (fault.kind !== "page-fault") return `Oops: ${WORDS[fault.kind]}: 0000`;
		const address = fault.address ?? 0n;
		return `BUG: unable to handle page fault for address: ${hex(address)}`;
	}

	/** The same in the middle of kernel code in TypeScript, which cannot continue. Throws `GUEST_OOPS`. */
	dieInCall(task: task_struct, fault: Fault, rip: bigint, where?: string): never {
		this.die(task, fault, rip, where);
		throw new KlpemuError("GUEST_OOPS", `${task.comm} died in guest code: ${task.oops}`);
	}
}
