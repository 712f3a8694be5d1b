import { RSP } from "../cpu/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";
import type { Kaddr } from "../memory/index.js";

/** A function of guest code, a gate, or a trampoline. */
export interface CalledFunction {
	/** `lp1_funcA [lp1]`, `ftrace_trampoline[funcA]`, `klp_ftrace_handler` */
	readonly name: string;
	/** It has a call site of ftrace. */
	readonly traceable: boolean;
}

interface Frame {
	readonly func: CalledFunction;
	/** Address of the return address. */
	readonly sp: Kaddr;
}

/** Told of the functions that tasks enter and leave. `replaces`: the function that has jumped there, and whose caller it returns to. */
export interface CallListener {
	enter(task: task_struct, func: CalledFunction, parent: () => string, replaces: CalledFunction | undefined): void;
	leave(task: task_struct, func: CalledFunction): void;
}

/** Bytes of an endbr64, which may stand before a call site. */
const ENDBR = 4;

/** Finds the calls and returns of all tasks, from the instructions that they execute. */
export class CallTracker {
	readonly #machine: Machine;
	readonly #listener: CallListener;
	/** By task: the functions that it is in, outermost first. */
	readonly #frames = new Map<task_struct, Frame[]>();
	/** The function that begins at an address, if one does. Valid for the images that are loaded. */
	#entries = new Map<Kaddr, CalledFunction | undefined>();
	#loaded: unknown = undefined;
	#count = 0;

	constructor(machine: Machine, listener: CallListener) {
		this.#machine = machine;
		this.#listener = listener;
	}

	/** The current task is about to execute the instruction at `ip`. */
	instruction(ip: Kaddr): void {
		const { sched, cpu } = this.#machine;
		const task = sched.current;
		const sp = cpu.state.kaddr(RSP);
		const frames = this.#frames.get(task) ?? [];
		this.#frames.set(task, frames);
		for (let top = frames.at(-1); top !== undefined && top.sp < sp; top = frames.at(-1)) {
			frames.pop();
			this.#listener.leave(task, top.func);
		}
		const func = this.#entry(ip);
		if (func === undefined) return;
		const top = frames.at(-1);
		const jumped = top?.sp === sp;
		if (jumped) {
			// An instruction that begins a second time, for example behind an int3.
			if (top.func === func) return;
			frames.pop();
			this.#listener.leave(task, top.func);
		}
		frames.push({ func, sp });
		this.#listener.enter(task, func, () => this.#parent(sp), jumped ? top.func : undefined);
	}

	/** The task is dead, or the recording ends: it leaves all functions. */
	end(task: task_struct): void {
		const frames = this.#frames.get(task) ?? [];
		this.#frames.delete(task);
		for (const { func } of frames.reverse()) this.#listener.leave(task, func);
	}

	endAll(): void {
		for (const task of [...this.#frames.keys()]) this.end(task);
	}

	#parent(sp: Kaddr): string {
		const { memory, symbols } = this.#machine;
		return symbols.name((memory.kaddr(sp) - 1) | 0);
	}

	#entry(ip: Kaddr): CalledFunction | undefined {
		const { images } = this.#machine.kallsyms;
		const trampolines = this.#machine.ftrace.trampolines.live;
		const last = images.at(-1);
		if (last !== this.#loaded || images.length + trampolines.size !== this.#count) {
			this.#entries = new Map();
			this.#loaded = last;
			this.#count = images.length + trampolines.size;
		}
		if (this.#entries.has(ip)) return this.#entries.get(ip);
		const func = this.#look(ip);
		this.#entries.set(ip, func);
		return func;
	}

	#look(ip: Kaddr): CalledFunction | undefined {
		const { kallsyms, symbols, ftrace } = this.#machine;
		const hit = kallsyms.images.map((image) => image.symbolAt(ip)).find((found) => found !== undefined);
		if (hit !== undefined) {
			if (hit.offset !== 0) return undefined;
			const traceable = ftrace.records.has(ip) || ftrace.records.has((ip + ENDBR) | 0);
			return { name: symbols.name(ip), traceable };
		}
		const trampoline = ftrace.trampolines.live.get(ip);
		if (trampoline !== undefined) return { name: `ftrace_trampoline[${trampoline.ops.name}]`, traceable: false };
		// A gate has no offset; of the engine's assembly, only these are functions that other code calls.
		const [, name] = /^([a-z_]\w*$|ftrace_(?:regs_)?caller(?=\+0x0$))/i.exec(symbols.symbolize(ip)) ?? [];
		return name === undefined ? undefined : { name, traceable: false };
	}
}
