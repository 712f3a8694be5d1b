import { KlpemuError } from "../base/index.js";
import type { Broken } from "../consistency/index.js";
import { type Cpu, type Fault, GS_BASE, RCX, RDX, RIP } from "../cpu/index.js";
import { MCOUNT_INSN_SIZE, PT_REGS } from "../linux/ftrace/index.js";
import { HANDLER_AT, type HandlerAt, type klp_func, type klp_ops, type klp_patch } from "../linux/klp/index.js";
import {
	type StackTrace,
	TASK_RUNNING,
	TIF_NOTIFY_SIGNAL,
	TIF_PATCH_PENDING,
	type task_struct,
} from "../linux/sched/index.js";
import { LAYOUT } from "../machine/index.js";
import { hex, type Kaddr, PAGE_SIZE, PERM, toKaddr, toU64 } from "../memory/index.js";
import { Hash } from "./graph.js";
import type { Model } from "./model.js";
import { type GuestContext, type HandlerPlace, restoreContext, type TaskState } from "./task-state.js";

/** Instructions that a task may execute between two points that others can see. */
const LIMIT = 100_000;

/** What a task did. */
export interface GuestMove {
	readonly label: string;
	readonly handler: HandlerPlace | undefined;
	readonly chosen: Kaddr | undefined;
	/** It died, of this. */
	readonly oops?: readonly Broken[];
}

const moved = (label: string): GuestMove => ({ label, handler: undefined, chosen: undefined });

/** Runs tasks on the Cpu, from one point that others can see to the next. */
export class Guest {
	readonly #model: Model;
	readonly #cpu: Cpu;
	readonly #handlerGate: Kaddr;
	readonly #walk: (task: task_struct) => StackTrace;

	/** Pages of text that have changed since the Cpu last ran. Most of what is poked and put back is never run in between. */
	readonly #changedPages = new Set<number>();
	readonly #textChanged: Cpu["textChanged"];

	constructor(model: Model) {
		this.#model = model;
		const { machine } = model;
		this.#cpu = machine.cpu;
		this.#textChanged = machine.cpu.textChanged.bind(machine.cpu);
		machine.cpu.textChanged = (address, length) => {
			const start = typeof address === "bigint" ? toKaddr(address) : address;
			for (let page = start & ~(PAGE_SIZE - 1); page < start + length; page += PAGE_SIZE) this.#changedPages.add(page);
		};
		this.#handlerGate = machine.klp.env.klp_ftrace_handler_address;
		this.#walk = machine.walkStack.bind(machine);
	}

	walk(task: task_struct): StackTrace {
		return this.#walk(task);
	}

	restore(task: task_struct, context: GuestContext): void {
		restoreContext(this.#model.machine, task, context);
	}

	/** `state` is what the task is in; its registers and stack are in the machine. */
	move(task: task_struct, state: TaskState): GuestMove {
		const { machine } = this.#model;
		machine.executor.current = task;
		if (state.handler !== undefined) return this.#handlerStep(task, state.handler);
		if (task.preempt_count > 0) return this.#switch(task);
		if (task.idle) return this.#leave(task, "do_idle");
		let label = "";
		if (task.mode === "user") {
			machine.executor.enterKernel(task);
			label = "enters the kernel";
		}
		if (task.__state !== TASK_RUNNING) {
			machine.sched.wake_up_state(task, -1);
			label = "wakes up";
		}
		return this.#run(task, state, label);
	}

	// ---- guest code ----

	#run(task: task_struct, from: TaskState, label: string): GuestMove {
		const cpu = this.#cpu;
		for (const page of this.#changedPages) this.#textChanged(page, PAGE_SIZE);
		this.#changedPages.clear();
		cpu.state.words.set(task.regs.words);
		cpu.state.words[GS_BASE] = toU64(this.#model.machine.executor.percpu(0));
		const start = this.#signature(from.entries);
		const sites = this.#sites();
		const sleeps = task.slept ? [] : (task.program.sleepAt?.() ?? []);
		let known = this.#rangeOf(cpu.state.kaddr(RIP));
		for (let i = 0; i < LIMIT; i++) {
			const ip = cpu.state.kaddr(RIP);
			if (i > 0 && sleeps.includes(ip)) return this.#sleep(task, label);
			if (ip === this.#handlerGate) return this.#enterHandler(task);
			const stop = this.#step(task);
			if (stop !== undefined) return stop;
			const next = cpu.state.kaddr(RIP);
			const passed = sites.has(ip) && next === ((ip + MCOUNT_INSN_SIZE) | 0);
			if (!passed && next >= known.start && next < known.end) continue;
			this.#store(task);
			const trace = this.#walk(task);
			const signature = this.#signature(trace.reliable ? trace.entries : undefined);
			if (passed || signature !== start) {
				if (sleeps.includes(next)) return this.#sleep(task, label);
				return moved(`${label}${label && ", "}${this.#where(next, passed)}`);
			}
			known = this.#rangeOf(next);
		}
		throw new KlpemuError("EXPLORE_ENDLESS", `${task.comm} runs for more than ${LIMIT} instructions without a call`, {
			where: this.#model.machine.symbolize(cpu.state.kaddr(RIP)),
		});
	}

	/** The fentry sites of functions that somebody may patch. */
	#sites(): Set<Kaddr> {
		const { machine, functions } = this.#model;
		const sites = functions.flatMap((func) => {
			const there = func.resolve();
			return there === undefined ? [] : [machine.ftrace.ftrace_location(there.address)];
		});
		return new Set(sites);
	}

	/**
	 * What others can see of a stack: which implementations, trampolines and modules a task is in. A change of it is a point; what
	 * lies between two of them nobody can tell apart.
	 */
	#signature(entries: readonly Kaddr[] | undefined): string {
		if (entries === undefined) return "?";
		return entries.flatMap((entry) => this.#visible(entry) ?? []).join();
	}

	#visible(entry: Kaddr): string | undefined {
		const { machine, functions } = this.#model;
		const trampoline = machine.ftrace.trampolines.containing(entry);
		if (trampoline !== undefined) return `t${trampoline.address}`;
		for (const mod of machine.modules.values()) {
			if (!mod.image.contains(entry)) continue;
			const hit = mod.image.symbolAt(entry);
			return hit === undefined ? `m${mod.image.base}` : `f${hit.symbol.address}`;
		}
		for (const func of functions) {
			const there = func.resolve();
			if (there !== undefined && entry >= there.address && entry < there.address + there.size)
				return `f${there.address}`;
		}
		return undefined;
	}

	/** Around `ip`, code in which no frame of the stack changes: nothing new to be seen while the task stays in it. */
	#rangeOf(ip: Kaddr): { readonly start: Kaddr; readonly end: Kaddr } {
		const { machine } = this.#model;
		const symbol = machine.klp.env.kallsyms_lookup_size_offset(ip);
		if (symbol !== undefined) return { start: (ip - symbol.offset) | 0, end: (ip - symbol.offset + symbol.size) | 0 };
		if (ip >= LAYOUT.entry && ip < LAYOUT.ftrace) return { start: LAYOUT.entry, end: LAYOUT.ftrace };
		// A trampoline changes the return address below it.
		return { start: 0, end: 0 };
	}

	#where(ip: Kaddr, passed: boolean): string {
		const { machine } = this.#model;
		const name = machine.symbolize(ip);
		if (passed) return `is in the body of ${name.replace(/\+.*/, "")}`;
		if (machine.ftrace.trampolines.containing(ip) !== undefined) return `is on ${name.replace(/\+.*/, "")}`;
		return name.endsWith("+0x0") ? `enters ${name.slice(0, -4)}` : `returns to ${name.replace(/\+.*/, "")}`;
	}

	/** All that the way of a task through the guest depends on and that is not in the task. */
	textKey(): string {
		const { machine, control } = this.#model;
		const { transition, patching } = machine.klp;
		const parts: unknown[] = [control.mayFallAsleep, transition.klp_target_state, transition.klp_sched_try_switch_key];
		// cond_resched() looks at the whole patch.
		if (transition.klp_sched_try_switch_key) parts.push(transition.klp_transition_patch?.name);
		const names = new Map<klp_func, string>();
		for (const [patch, obj, index] of this.funcs()) {
			const func = patch.obj_list[obj]!.funcs[index]!;
			names.set(func, this.funcName(patch, obj, func));
		}
		const nameOf = (func: klp_func | undefined) => (func === undefined ? "-" : (names.get(func) ?? "gone"));
		for (const [func, name] of names) {
			parts.push(name, func.transition, func.universe, func.freed, nameOf(func.stack_node.next.owner));
		}
		for (const [old, ops] of patching.klp_ops) parts.push(old, nameOf(ops.func_stack.next.owner));
		for (const [address, ops] of machine.ftrace.opsByAddress) parts.push(address, ops.name);
		for (const site of this.#sites()) parts.push(site, machine.memory.read(site, MCOUNT_INSN_SIZE).join());
		for (const { address, text } of machine.text_poke.bp_desc) parts.push(address, text.join());
		for (const { address, perm } of machine.memory.regions) if (perm & PERM.EXEC) parts.push(address);
		const hash = new Hash();
		for (const part of parts) hash.add(String(part));
		return hash.digest();
	}

	#store(task: task_struct): void {
		task.regs.words.set(this.#cpu.state.words);
	}

	/** One instruction; a result when the move ends with it. */
	#step(task: task_struct): GuestMove | undefined {
		const { machine } = this.#model;
		const stop = this.#cpu.run(1);
		if (stop.kind === "gate") {
			this.#store(task);
			return this.#gate(task, stop.gate.name);
		}
		if (stop.kind !== "fault") return undefined;
		if (stop.fault.kind === "breakpoint" && machine.text_poke.poke_int3_handler(this.#cpu.state)) return undefined;
		this.#store(task);
		return this.#oops(task, stop.fault);
	}

	#oops(task: task_struct, fault: Fault): GuestMove {
		const rip = this.#cpu.state.rip;
		this.#model.machine.oops(task, fault, rip);
		const fetched = fault.kind === "page-fault" && fault.access === "fetch";
		const what = fetched ? `jumps into unmapped text at ${hex(rip)}` : `dies: ${task.oops}`;
		const broken: Broken = {
			invariant: fetched ? "freed-text" : "warn",
			task: task.comm,
			message: `${task.comm} ${what}`,
			died: true,
		};
		return { ...moved(what), oops: [broken] };
	}

	#sleep(task: task_struct, label: string): GuestMove {
		this.#store(task);
		task.slept = true;
		this.#model.machine.sched.fallAsleep(task);
		const where = this.#model.machine.symbolize(this.#cpu.state.kaddr(RIP)).replace(/\+.*/, "");
		return moved(`${label}${label && ", "}falls asleep in ${where}`);
	}

	#gate(task: task_struct, name: string): GuestMove {
		const { machine } = this.#model;
		if (name === "exit_to_user_mode") return this.#leave(task, "exit_to_user_mode");
		machine.stoppedAt(name, task);
		if (task.inHost !== undefined) {
			throw new KlpemuError(
				"EXPLORE_UNSUPPORTED",
				`${task.comm} calls ${name}(), which may wait: that cannot be explored`,
			);
		}
		if (name === "cond_resched") return moved("cond_resched()");
		return moved(name === "kthread_wait" ? "goes to sleep" : "schedule()");
	}

	// ---- switching ----

	/** exit_to_user_mode_loop() and the idle loop: the flag first. */
	#leave(task: task_struct, where: string): GuestMove {
		task.rcu_tasks_holdout = false;
		if (!task.pending) return this.#gone(task, where);
		const code = this.#model.machine.klp.transition.klp_update_patch_state(task);
		return moved(String(code.next().value));
	}

	/** The flag is cleared already: what kernel code does from there on depends on nothing but the task. */
	#switch(task: task_struct): GuestMove {
		const { transition } = this.#model.machine.klp;
		task.preempt_count--;
		task.thread_flags |= TIF_PATCH_PENDING;
		const code = transition.klp_update_patch_state(task);
		code.next();
		const { value } = code.next();
		this.#gone(task, "");
		return moved(String(value));
	}

	#gone(task: task_struct, where: string): GuestMove {
		task.thread_flags &= ~TIF_NOTIFY_SIGNAL;
		if (!task.idle) task.mode = "user";
		return moved(where === "do_idle" ? "goes round in the idle loop" : "returns to user mode");
	}

	// ---- the handler ----

	/**
	 * It has the recursion lock and has read the first entry. To have the lock for a while before the first read only keeps others
	 * waiting: whatever they can do meanwhile they can also do before.
	 */
	#enterHandler(task: task_struct): GuestMove {
		this.#store(task);
		const fops = task.regs.kaddr(RDX);
		const locked = this.#handler(task, { label: "", fops, func: undefined, flag: undefined });
		return locked.handler === undefined ? locked : this.#handler(task, locked.handler);
	}

	#handlerStep(task: task_struct, at: HandlerPlace): GuestMove {
		this.#cpu.state.words.set(task.regs.words);
		return this.#handler(task, at);
	}

	#handler(task: task_struct, at: HandlerPlace): GuestMove {
		const { machine } = this.#model;
		const { patching, onInvalidRead } = machine.klp;
		const ops = machine.ftrace.opsByAddress.get(at.fops);
		const owner = ops?.owner as klp_ops | undefined;
		const func = at.func === undefined ? undefined : this.#func(at.func);
		const gone =
			ops === undefined || owner?.freed ? "klp_ops" : at.func !== undefined && (func === undefined || func.freed);
		if (gone) {
			const what = gone === true ? `klp_func, ${describe(at.func!)}` : "klp_ops";
			onInvalidRead?.(
				`${task.comm} is in klp_ftrace_handler(), behind "${at.label}", and goes on to read a freed ${what}`,
			);
			return this.#through(task, at);
		}
		const from: HandlerAt | undefined =
			at.label === "" ? undefined : { label: at.label, func, ...(at.flag !== undefined && { flag: at.flag }) };
		const next = patching.klp_ftrace_handler_step(ops!, task.regs.kaddr(RCX), from);
		if (next === undefined) return this.#through(task, at);
		const name = next.func === undefined ? undefined : this.#nameOf(next.func);
		if (next.func !== undefined && name === undefined) {
			onInvalidRead?.(
				`${task.comm} finds a klp_func in func_stack that is gone with its module: ${next.func.new_name}`,
			);
			return this.#through(task, at);
		}
		return {
			label: `${next.label}${next.label === HANDLER_AT.func_stack ? ` (${next.func?.nop ? "nop" : next.func?.new_name})` : ""}`,
			handler: { label: next.label, fops: at.fops, func: name, flag: next.flag },
			chosen: undefined,
		};
	}

	/** Behind the gate's nop, as if the Cpu had called the handler there. */
	#through(task: task_struct, at: HandlerPlace): GuestMove {
		const { machine } = this.#model;
		task.trace_recursion = 0;
		task.regs.setKaddr(RIP, (this.#handlerGate + 1) | 0);
		const chosen = machine.memory.kaddr((task.regs.kaddr(RCX) + PT_REGS.RIP) | 0);
		const owner = machine.ftrace.opsByAddress.get(at.fops)?.owner as klp_ops | undefined;
		const range = owner === undefined ? undefined : machine.klp.env.kallsyms_lookup_size_offset(chosen);
		const redirected = range?.offset === 0;
		return {
			label: redirected
				? `klp_ftrace_handler: ip = ${machine.symbolize(chosen).replace(/\+.*/, "")}`
				: "klp_ftrace_handler: the original",
			handler: undefined,
			chosen: redirected ? chosen : undefined,
		};
	}

	/** By name, for the object may be another after a replay; undefined: it is of no module that is loaded. */
	#nameOf(func: klp_func): string | undefined {
		for (const [patch, obj, index] of this.funcs()) {
			if (patch.obj_list[obj]?.funcs[index] === func) return this.funcName(patch, obj, func);
		}
		return undefined;
	}

	funcName(patch: klp_patch, obj: number, func: klp_func): string {
		return `${patch.name}@${func.nop ? "nop" : func.new_func}/${obj}/${func.old_name},${func.old_sympos}`;
	}

	*funcs(): Generator<readonly [klp_patch, number, number]> {
		const { modules, sysfs } = this.#model.machine;
		for (const patch of sysfs.all) {
			// A patch whose module is gone is gone with it.
			if (modules.get(patch.mod.name) !== patch.mod) continue;
			for (let obj = 0; obj < patch.obj_list.length; obj++) {
				for (let index = 0; index < patch.obj_list[obj]!.funcs.length; index++) yield [patch, obj, index];
			}
		}
	}

	#func(name: string): klp_func | undefined {
		for (const [patch, obj, index] of this.funcs()) {
			const func = patch.obj_list[obj]!.funcs[index]!;
			if (this.funcName(patch, obj, func) === name) return func;
		}
		return undefined;
	}
}

/** A name of {@link Guest.funcName}, for people. */
function describe(name: string): string {
	const [, patch, kind, func] = /^(.*)@([^/]*)\/\d+\/(.*),\d+$/.exec(name)!;
	return kind === "nop" ? `the nop of ${patch} for ${func}` : `that of ${patch} for ${func}`;
}
