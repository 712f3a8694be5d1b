/** Reads the state of a machine into tracks, after each step. */
import { type Look, lookAt, type WatchedFunction } from "../../../src/consistency/index.js";
import { RIP, RSP } from "../../../src/cpu/index.js";
import type { TaskState } from "../../../src/explore/index.js";
import { MCOUNT_INSN_SIZE } from "../../../src/linux/ftrace/index.js";
import { TASK_RUNNING, type task_struct } from "../../../src/linux/sched/index.js";
import { type Machine, namesOf } from "../../../src/machine/index.js";
import type { Kaddr } from "../../../src/memory/index.js";
import { type CodeBlock, type Frames, KEY, type LaneState, type PatchState, type Where } from "../shared/recording.js";
import { Tracks } from "./tracks.js";

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function hexOf(bytes: Uint8Array): string {
	let text = "";
	for (const byte of bytes) text += HEX[byte];
	return text;
}

/** What only the recorder knows of a task: the explorer's state, or the administrator's step. */
export interface Known {
	readonly state?: TaskState | undefined;
	/** The step that an administrator or the kworker is in. */
	readonly step?: { readonly waits: boolean; readonly label: string } | undefined;
}

const GONE: LaneState = { patch_state: -1, pending: false, where: { kind: "gone", text: "" } };

/** Takes the state of a machine, again and again. */
export class Camera {
	readonly tracks = new Tracks();
	readonly code: CodeBlock[] = [];
	readonly #machine: Machine;
	readonly #functions: readonly WatchedFunction[];
	/** Images and trampolines whose code is in `code`. */
	readonly #seen = new Set<unknown>();

	constructor(machine: Machine, functions: readonly WatchedFunction[]) {
		this.#machine = machine;
		this.#functions = functions;
	}

	/** `tasks`: by the name of their lane; undefined: the task is not on the task list. */
	take(
		instant: number,
		tasks: ReadonlyMap<string, task_struct | undefined>,
		known: (name: string) => Known,
		look: Look = lookAt(this.#machine, this.#functions, undefined),
	): void {
		this.#kernel(instant, look);
		this.#text(instant);
		for (const [name, task] of tasks) this.#task(instant, name, task, known(name));
	}

	#kernel(instant: number, look: Look): void {
		const { tracks } = this;
		for (const [index, { name }] of this.#functions.entries()) {
			const stack = look.stacks[index] ?? [];
			tracks.set(instant, KEY.stack(name), stack, stack.join());
		}
		const views = look.views.map(({ names }) => names);
		tracks.set(instant, KEY.views, views, views.join(";"));
		tracks.set(instant, KEY.promised, look.promised.names, look.promised.names.join());
		tracks.set(instant, KEY.inTransition, look.inTransition);
		tracks.set(instant, KEY.dmesg, this.#machine.dmesg.records.length);
		const present = new Set<string>();
		for (const [path, value] of this.#machine.klp.sysfs.entries()) {
			present.add(KEY.sysfs(path));
			tracks.set(instant, KEY.sysfs(path), value);
		}
		tracks.drop(instant, "sysfs/", present);
		const modules = [...this.#machine.modules].map(([name, { refcount }]) => `${name} ${refcount}`);
		tracks.set(instant, KEY.modules, modules, modules.join());
	}

	/** Call sites and trampolines. */
	#text(instant: number): void {
		const { memory, ftrace, kallsyms } = this.#machine;
		for (const image of kallsyms.images) {
			if (this.#seen.has(image)) continue;
			this.#seen.add(image);
			const symbols = image.symbols
				.filter(({ address, size }) => size > 0 && (memory.permissions(address) & 4) !== 0)
				.map(({ name, address, size }) => ({ name, address, size }));
			for (const { name, address, size } of symbols) {
				this.code.push({ name, address, bytes: memory.read(address, size), symbols: [{ name, address, size }] });
			}
		}
		for (const [index, { name }] of this.#functions.entries()) {
			const there = this.#functions[index]!.resolve();
			const site = there === undefined ? 0 : ftrace.ftrace_location(there.address);
			const value = there && { name, address: there.address, size: there.size, site };
			this.tracks.set(instant, KEY.func(name), value, there && `${there.address} ${site}`);
		}
		for (const site of ftrace.records.keys()) this.#bytes(instant, site, MCOUNT_INSN_SIZE);
		for (const trampoline of ftrace.trampolines.live.values()) {
			const { address, size } = trampoline;
			if (!this.#seen.has(trampoline)) {
				this.#seen.add(trampoline);
				const name = this.#machine.symbolize(address).replace(/\+.*/, "");
				const symbols = [{ name, address, size }];
				this.code.push({ name, address, bytes: memory.read(address, size), symbols });
			}
			this.#bytes(instant, address, size);
		}
	}

	#bytes(instant: number, address: Kaddr, length: number): void {
		const { memory } = this.#machine;
		// A record outlives its module's text.
		if (memory.permissions(address) === 0) return;
		this.tracks.set(instant, KEY.text(address), hexOf(memory.read(address, length)));
	}

	#task(instant: number, name: string, task: task_struct | undefined, known: Known): void {
		const { tracks } = this;
		if (task === undefined) {
			if (tracks.all.has(KEY.lane(name))) tracks.set(instant, KEY.lane(name), GONE);
			return;
		}
		const { words } = task.regs;
		const { handler } = known.state ?? {};
		const place = `${words[RIP]} ${words[RSP]} ${task.mode} ${task.__state} ${task.held} ${handler?.at} ${handler?.flag} ${known.step?.label} ${known.step?.waits}`;
		const stamp = `${task.patch_state} ${task.pending} ${place}`;
		const isNew = tracks.make(instant, KEY.lane(name), stamp, () => this.#lane(task, known));
		if (isNew) this.#guest(instant, name, task);
	}

	#lane(task: task_struct, known: Known): LaneState {
		return {
			patch_state: task.patch_state as PatchState,
			pending: task.pending,
			where: this.#where(task, known),
		};
	}

	#where(task: task_struct, { state, step }: Known): Where {
		if (task.mode === "host") {
			if (step === undefined) return { kind: "user", text: "" };
			return { kind: step.waits ? "asleep" : "host", text: step.label };
		}
		const { handler } = state ?? {};
		if (handler !== undefined) return { kind: "handler", text: "klp_ftrace_handler" };
		if (task.idle) return { kind: "kernel", text: "idle loop" };
		const asleep = task.held || task.__state !== TASK_RUNNING;
		if (task.mode === "user" || task.stack === undefined) return { kind: asleep ? "asleep" : "user", text: "" };
		const trace = this.#machine.unwinder.walk(task);
		const [inner = ""] = namesOf(this.#machine, trace.entries);
		if (asleep) return { kind: "asleep", text: inner };
		const rip = task.regs.kaddr(RIP);
		const trampoline = this.#machine.ftrace.trampolines.containing(rip);
		if (trampoline !== undefined) {
			return { kind: "trampoline", text: this.#machine.symbolize(rip).replace(/\+.*/, "") };
		}
		return inner === "" ? { kind: "kernel", text: this.#machine.symbolize(rip) } : { kind: "function", text: inner };
	}

	/** Registers, stack, and the frames that the unwinder finds. */
	#guest(instant: number, name: string, task: task_struct): void {
		const { tracks } = this;
		if (task.mode !== "kernel" || task.stack === undefined || task.idle) {
			for (const key of [KEY.regs(name), KEY.kstack(name), KEY.frames(name)]) tracks.set(instant, key, undefined);
			return;
		}
		const { words } = task.regs;
		tracks.set(instant, KEY.regs(name), words.slice(), words.join());
		const top = this.#machine.stacks.stackTop(task);
		const sp = Math.min(task.regs.kaddr(RSP), top);
		const bytes = this.#machine.memory.read(sp, (top - sp) & ~7);
		const stack = new BigUint64Array(bytes.buffer, 0, bytes.length >> 3);
		tracks.set(instant, KEY.kstack(name), { sp, words: stack }, `${sp} ${stack.join()}`);
		const trace = this.#machine.unwinder.walk(task);
		const frames: Frames = {
			reliable: trace.reliable,
			reason: trace.reliable ? "" : trace.reason,
			frames: trace.entries.map((address, index) => ({
				symbol: this.#machine.symbolize(address),
				address,
				sp: trace.rsp[index]!,
			})),
		};
		const stamp = frames.frames.map(({ symbol, sp: at }) => `${symbol} ${at}`).join();
		tracks.set(instant, KEY.frames(name), frames, `${frames.reliable} ${stamp}`);
	}
}
