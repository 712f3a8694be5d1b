/** The cases of a call that are measured, and machines that are in them. */
import { GATE_BYTES } from "../../src/cpu/index.js";
import { FTRACE_OPS_FL, ftrace_call_replace, ftrace_ops, INT3_INSN_OPCODE } from "../../src/ftrace/index.js";
import { runStraight } from "../../src/kernel/index.js";
import { KLP_TRANSITION_PATCHED, KLP_TRANSITION_UNPATCHED } from "../../src/klp/index.js";
import type { Machine } from "../../src/machine.js";
import { type Kaddr, PAGE_SIZE, PERM } from "../../src/memory/index.js";
import type { task_struct } from "../../src/sched/index.js";
import { benchMachine, enable, patchOf } from "../common/index.js";

/** What the machine is in the middle of. */
export type State = "steady" | "patching" | "unpatching" | "replacing" | "poking";

export interface CallCase {
	readonly id: string;
	readonly what: string;
	readonly state: State;
	/** Which task calls: one that has switched, or one that has not. */
	readonly task: "patched" | "unpatched";
	/** The traced function, called by `loop_NAME`; or the loop itself. */
	readonly func: string;
	/** What one call adds to the result: tells which implementation ran. */
	readonly step: number;
	/** Entries that func_stack must have. */
	readonly depth?: number;
	/** Only for the split of a call into its parts. */
	readonly part?: boolean;
}

const ORIGINAL = 1;
const FIRST = 2;
const SECOND = 3;
const MORE = 4;

const call = (
	id: string,
	what: string,
	state: State,
	task: CallCase["task"],
	func: string,
	step: number,
	more: Partial<CallCase> = {},
): CallCase => ({ id, what, state, task, func, step, ...more });

/** In the order of the report. `loop` is taken off the others, and must be there in every state. */
export const CALL_CASES: readonly CallCase[] = [
	call("untraced", "untraced function", "steady", "patched", "untraced", ORIGINAL),
	call("nop_site", "traced, not patched (nop at the site)", "steady", "patched", "nop_site", ORIGINAL),
	call("depth1", "patched, steady, func_stack depth 1", "steady", "patched", "depth1", FIRST, { depth: 1 }),
	call("depth2", "patched, steady, func_stack depth 2", "steady", "patched", "depth2", MORE, { depth: 2 }),
	call("depth4", "patched, steady, func_stack depth 4", "steady", "patched", "depth4", MORE, { depth: 4 }),
	call("depth8", "patched, steady, func_stack depth 8", "steady", "patched", "depth8", MORE, { depth: 8 }),
	call("depth16", "patched, steady, func_stack depth 16", "steady", "patched", "depth16", MORE, { depth: 16 }),
	call("patching/patched", "patching, PATCHED task", "patching", "patched", "stacked", SECOND),
	call("patching/previous", "patching, UNPATCHED task, previous function", "patching", "unpatched", "stacked", FIRST),
	call("patching/original", "patching, UNPATCHED task, original", "patching", "unpatched", "bottom", ORIGINAL),
	call("unpatching/patched", "unpatching, PATCHED task", "unpatching", "patched", "stacked", SECOND),
	call("unpatching/previous", "unpatching, UNPATCHED task, previous", "unpatching", "unpatched", "stacked", FIRST),
	call("unpatching/original", "unpatching, UNPATCHED task, original", "unpatching", "unpatched", "bottom", ORIGINAL),
	call("replace/patched", "replaced without successor, PATCHED (nop)", "replacing", "patched", "removed", ORIGINAL),
	call("replace/unpatched", "replaced without successor, UNPATCHED", "replacing", "unpatched", "removed", FIRST),
	call("tracer", "one tracer, ftrace_caller", "steady", "patched", "tracer", ORIGINAL),
	call("tracer_regs", "one tracer, ftrace_regs_caller", "steady", "patched", "tracer_regs", ORIGINAL),
	call("others1", "patched, 1 tracer on the same site", "steady", "patched", "others1", FIRST, { depth: 1 }),
	call("others2", "patched, 2 tracers", "steady", "patched", "others2", FIRST, { depth: 1 }),
	call("others8", "patched, 8 tracers", "steady", "patched", "others8", FIRST, { depth: 1 }),
	call("int3", "int3 phase of text_poke, original", "poking", "patched", "poked", ORIGINAL),
	call("bare_call", "call from the site to a bare ret", "steady", "patched", "bare_call", ORIGINAL, { part: true }),
	call("bare_trampoline", "trampoline without a gate", "steady", "patched", "bare_trampoline", ORIGINAL, {
		part: true,
	}),
	call("bare_gate", "trampoline, gate with nothing behind", "steady", "patched", "bare_gate", ORIGINAL, { part: true }),
];

/** A page that nothing else uses, behind the stacks, and where in it the bare ret is. */
const GATE_AREA: Kaddr = -0x8_0000;
const BARE_RET = 16;
const RET_INSN_OPCODE = 0xc3;

const STATES: readonly State[] = ["steady", "patching", "unpatching", "replacing", "poking"];

/** One call of the loop function of a case. */
export interface Called {
	readonly milliseconds: number;
	readonly result: bigint;
	/** Guest instructions, exact. */
	readonly executed: number;
}

/** A machine in one state, with a task that has switched and one that has not. */
export class Rig {
	readonly machine: Machine;
	#tasks: Partial<Record<CallCase["task"], task_struct>> = {};

	private constructor(machine: Machine) {
		this.machine = machine;
	}

	/** Machines in all states that there are cases for. */
	static async all(design: string, cpu: string): Promise<ReadonlyMap<State, Rig>> {
		const rigs = new Map<State, Rig>();
		for (const state of STATES) {
			const rig = new Rig(await benchMachine("calls.c", { design, cpu }));
			rig.#enter(state);
			rigs.set(state, rig);
		}
		return rigs;
	}

	address(name: string): Kaddr {
		const symbol = this.machine.vmlinux.symbol(name);
		if (symbol === undefined) throw new Error(`bench/guest/calls.c has no ${name}`);
		return symbol.address;
	}

	/** Why the case cannot be measured under this machine's design; undefined when it can. */
	absent({ func, step, task, depth }: CallCase): string | undefined {
		if (depth !== undefined) {
			const ops = this.machine.klp.patching.klp_find_ops(this.address(func));
			const found = ops === undefined ? 0 : [...ops.func_stack].length;
			if (found !== depth) return `func_stack has ${found} of ${depth} entries: ${this.#refused ?? "replaced"}`;
		}
		const { result } = this.call(task, `loop_${func}`, 1);
		const names = ["nothing known", "the original", "lp_first", "lp_second", "lp_more"];
		if (result === BigInt(step)) return undefined;
		return `the task runs ${names[Number(result)] ?? result}, not ${names[step]}`;
	}
	#refused: string | undefined;

	/** Wakes the task to run a loop function `n` times round, and waits until it sleeps again. */
	call(who: CallCase["task"], loop: string, n: number): Called {
		const { memory, executor, sched } = this.machine;
		const task = this.#tasks[who];
		if (task === undefined) throw new Error(`no ${who} task in this state`);
		memory.setU64(this.address("bench_n"), BigInt(n));
		memory.setU64(this.address("bench_result"), 0n);
		memory.setKaddr(this.address("bench_body"), this.address(loop));
		this.machine.wake(task);
		sched.switch_to(sched.cpus[0]!, task);
		const before = executor.instructions;
		const start = performance.now();
		executor.runSlice(sched.cpus[0]!, task, Number.POSITIVE_INFINITY);
		const milliseconds = performance.now() - start;
		const result = memory.u64(this.address("bench_result"));
		return { milliseconds, result, executed: executor.instructions - before };
	}

	#enter(state: State): void {
		switch (state) {
			case "steady":
				this.#tasks.patched = this.#sleeper("stay");
				this.#steady();
				return;
			case "patching":
				this.#tasks = { patched: this.#sleeper("stay"), unpatched: this.#sleeper("stay_old") };
				this.#settled("base", [["stacked", "lp_first"]]);
				this.#stack("stay_old");
				this.#check(KLP_TRANSITION_PATCHED);
				return;
			case "unpatching":
				this.#tasks.unpatched = this.#sleeper("stay");
				this.#settled("base", [["stacked", "lp_first"]]);
				this.#stack("stay_late");
				if (!this.machine.settle(1000)) throw new Error("the transition does not end");
				this.#tasks.patched = this.#sleeper("stay_late");
				this.machine.writeSysfs("top/enabled", "0");
				this.#check(KLP_TRANSITION_UNPATCHED);
				return;
			case "replacing":
				this.#tasks = { patched: this.#sleeper("stay"), unpatched: this.#sleeper("stay_old") };
				this.#settled("base", [
					["removed", "lp_first"],
					["bottom", "lp_first"],
				]);
				this.#replace();
				this.#check(KLP_TRANSITION_PATCHED);
				return;
			case "poking":
				this.#tasks.patched = this.#sleeper("stay");
				this.#poke();
				return;
		}
	}

	/** A task that sleeps in `func`, where {@link call} wakes it. */
	#sleeper(func: string): task_struct {
		const { machine } = this;
		const task = machine.addTask({ name: func, kthread: false, calls: [this.address(func)] });
		for (let i = 0; task.__state === 0; i++) {
			if (i > 1000) throw new Error(`${func} does not sleep`);
			machine.round();
		}
		return task;
	}

	/** Enables a livepatch that nothing holds up. `set`: a number that designs with sets do not replace anything by. */
	#settled(name: string, funcs: readonly (readonly [string, string])[], set = 0): void {
		const refused = enable(this.machine, name, { funcs, replaceable: true, replace_set: set });
		this.#refused ??= refused;
		if (!this.machine.settle(1000)) throw new Error(`the transition of ${name} does not end`);
	}

	#check(target: number): void {
		const { transition } = this.machine.klp;
		const states = [this.#tasks.patched!.patch_state, this.#tasks.unpatched!.patch_state];
		if (transition.klp_target_state !== target || states[0] !== 1 || states[1] !== 0) {
			throw new Error(`no open transition to ${target} with one task PATCHED and one UNPATCHED (${states})`);
		}
	}

	#stack(held: string): void {
		const refused = enable(this.machine, "top", {
			funcs: [
				["stacked", "lp_second"],
				["bottom", "lp_first"],
				[held, "stay_lp"],
			],
		});
		if (refused !== undefined) throw new Error(refused);
		for (let i = 0; i < 50; i++) this.machine.round();
	}

	/** Whatever "this patch supersedes those before" means to the design. */
	#replace(): void {
		const refused = enable(this.machine, "top", {
			replace: true,
			replace_tag: 1,
			funcs: [
				["bottom", "lp_second"],
				["stay_old", "stay_lp"],
			],
		});
		if (refused !== undefined) throw new Error(refused);
		for (let i = 0; i < 50; i++) this.machine.round();
	}

	#steady(): void {
		// By itself, so that no design can see a reason to replace it.
		this.#settled("depth1", [["depth1", "lp_first"]], 1);
		this.#settled(
			"others",
			[1, 2, 8].map((count) => [`others${count}`, "lp_first"] as const),
			2,
		);
		for (let depth = 1; depth <= 16; depth++) {
			const deeper = [2, 4, 8, 16].filter((other) => other >= depth);
			const name = depth === 1 ? "lp_first" : "lp_more";
			this.#settled(
				`stack${depth}`,
				deeper.map((other) => [`depth${other}`, name] as const),
				2 + depth,
			);
		}
		for (const count of [1, 2, 8]) for (let i = 0; i < count; i++) this.#tracer(`others${count}`, 0);
		this.#tracer("tracer", 0);
		this.#tracer("tracer_regs", FTRACE_OPS_FL.SAVE_REGS);
		this.#parts();
	}

	/** An ops of its own on a function, with a call-back that does nothing. `func`: where its trampoline goes instead. */
	#tracer(name: string, flags: number, func = this.#emptyGate()): void {
		const { ftrace } = this.machine;
		const ops = new ftrace_ops(name, undefined, func, () => {}, FTRACE_OPS_FL.DYNAMIC | flags);
		ftrace.ftrace_set_filter_ip(ops, ftrace.ftrace_location(this.address(name)), false);
		const ret = runStraight(ftrace.register_ftrace_function(ops));
		if (ret !== 0) throw new Error(`the tracer of ${name} cannot be registered (${ret})`);
	}

	/** The steps between a nop at the site and a handler: each case does one more of them. */
	#parts(): void {
		const { cpu, memory, ftrace } = this.machine;
		this.#emptyGate();
		const stub = GATE_AREA + BARE_RET;
		const site = ftrace.ftrace_location(this.address("bare_call"));
		memory.write(site, ftrace_call_replace(site, stub));
		cpu.textChanged(site, 5);
		this.#tracer("bare_trampoline", 0, stub);
		this.#tracer("bare_gate", 0);
	}

	/** A gate of ours, the call-back of tracers, and a bare ret behind it. */
	#emptyGate(): Kaddr {
		const { cpu, memory } = this.machine;
		if (memory.permissions(GATE_AREA) !== 0) return GATE_AREA;
		memory.map("bench gate", GATE_AREA, PAGE_SIZE, PERM.READ | PERM.EXEC);
		memory.write(GATE_AREA, Uint8Array.from(GATE_BYTES));
		memory.write(GATE_AREA + BARE_RET, Uint8Array.of(RET_INSN_OPCODE));
		cpu.addGate(GATE_AREA, { name: "bench", passes: "args", call: () => false });
		return GATE_AREA;
	}

	/** Enables a livepatch up to where the int3 stands at the site, and leaves it there. */
	#poke(): void {
		const { machine } = this;
		const site = machine.ftrace.ftrace_location(this.address("poked"));
		const mod = { name: "poke", livepatch: true, klp_alive: false, refcount: 0, symbols: () => [] };
		const patch = patchOf(machine, { funcs: [["poked", "lp_first"]] })(mod);
		machine.executor.current = machine.shell;
		const code = machine.klp.klp_enable_patch(patch);
		while (machine.memory.u8(site) !== INT3_INSN_OPCODE) {
			if (code.next().done) throw new Error("the site was never poked");
		}
	}
}
