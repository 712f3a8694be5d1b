/** The cases of a call that are measured, and machines that are in them. */
import { GATE_BYTES, RDX } from "../../src/cpu/index.js";
import {
	FTRACE_OPS_FL,
	ftrace_call_replace,
	ftrace_ops,
	INT3_INSN_OPCODE,
	MCOUNT_INSN_SIZE,
	PT_REGS,
} from "../../src/linux/ftrace/index.js";
import { KLP_TRANSITION_PATCHED, KLP_TRANSITION_UNPATCHED } from "../../src/linux/klp/index.js";
import { type Kernel, runStraight } from "../../src/linux/lib/index.js";
import type { task_struct } from "../../src/linux/sched/index.js";
import type { Machine } from "../../src/machine/index.js";
import { type Kaddr, PAGE_SIZE, PERM } from "../../src/memory/index.js";
import { benchMachine, enable } from "../common/index.js";

/** State of the machine during the case. */
export type State = "steady" | "patching" | "unpatching" | "replacing" | "poking";

export interface CallCase {
	readonly id: string;
	readonly what: string;
	/** Default `steady`. */
	readonly state?: State;
	/** The calling task: one that has switched (default), or one that has not. */
	readonly task?: "patched" | "unpatched";
	/** The guest's loop; default `loop_traced`, which calls traced(). */
	readonly loop?: string;
	/** The number that one call adds to the result: it identifies the implementation. */
	readonly step: number;
	/** `steady`: livepatches of traced(), one on top of the other. */
	readonly depth?: number;
	/** `steady`: tracers on traced(), their ops' flags, and their call-back: an empty gate (default), or a bare ret. */
	readonly tracers?: number;
	readonly flags?: number;
	readonly calls?: "gate" | "ret";
	/** Only for the split of a call into its parts. */
	readonly part?: boolean;
}

const ORIGINAL = 1;
const FIRST = 2;
const SECOND = 3;
const MORE = 4;

const depth = (entries: number): CallCase => ({
	id: `depth${entries}`,
	what: `patched, steady, func_stack depth ${entries}`,
	depth: entries,
	step: entries === 1 ? FIRST : MORE,
});
const others = (tracers: number): CallCase => ({
	id: `others${tracers}`,
	what: `patched, and ${tracers} tracer${tracers === 1 ? "" : "s"} on the same site`,
	depth: 1,
	tracers,
	step: FIRST,
});

/** The empty loop; its time is subtracted from every other row. */
export const LOOP: CallCase = {
	id: "loop",
	what: "the empty loop (taken off the rows below)",
	loop: "loop",
	step: ORIGINAL,
};

/** In the order of the report. */
export const CALL_CASES: readonly CallCase[] = [
	{ id: "untraced", what: "untraced function", loop: "loop_untraced", step: ORIGINAL },
	{ id: "nop_site", what: "traced, not patched (nop at the site)", step: ORIGINAL },
	...[1, 2, 4, 8, 16].map(depth),
	{ id: "patching/patched", what: "patching, PATCHED task", state: "patching", step: SECOND },
	{
		id: "patching/previous",
		what: "patching, UNPATCHED task, previous function",
		state: "patching",
		task: "unpatched",
		step: FIRST,
	},
	{
		id: "patching/original",
		what: "patching, UNPATCHED task, original",
		state: "patching",
		task: "unpatched",
		loop: "loop_bottom",
		step: ORIGINAL,
	},
	{ id: "unpatching/patched", what: "unpatching, PATCHED task", state: "unpatching", step: SECOND },
	{
		id: "unpatching/previous",
		what: "unpatching, UNPATCHED task, previous function",
		state: "unpatching",
		task: "unpatched",
		step: FIRST,
	},
	{
		id: "unpatching/original",
		what: "unpatching, UNPATCHED task, original",
		state: "unpatching",
		task: "unpatched",
		loop: "loop_bottom",
		step: ORIGINAL,
	},
	{ id: "replace/patched", what: "replaced without successor, PATCHED (nop)", state: "replacing", step: ORIGINAL },
	{
		id: "replace/unpatched",
		what: "replaced without successor, UNPATCHED",
		state: "replacing",
		task: "unpatched",
		step: FIRST,
	},
	{ id: "tracer", what: "one tracer, ftrace_caller", tracers: 1, step: ORIGINAL },
	{
		id: "tracer_regs",
		what: "one tracer, ftrace_regs_caller",
		tracers: 1,
		flags: FTRACE_OPS_FL.SAVE_REGS,
		step: ORIGINAL,
	},
	...[1, 2, 8].map(others),
	{ id: "int3", what: "int3 phase of text_poke, original", state: "poking", step: ORIGINAL },
	{ id: "bare_call", what: "call from the site to a bare ret", calls: "ret", step: ORIGINAL, part: true },
	{
		id: "bare_trampoline",
		what: "trampoline without a gate",
		tracers: 1,
		calls: "ret",
		step: ORIGINAL,
		part: true,
	},
];

/** An unused page behind the stacks, and the address of the bare ret in it. */
const GATE_AREA: Kaddr = -0x8_0000;
const BARE_RET = 16;
const RET_INSN_OPCODE = 0xc3;

/** One call of the loop function of a case. */
export interface Called {
	readonly milliseconds: number;
	readonly result: bigint;
	/** Guest instructions, exact. */
	readonly executed: number;
}

/**
 * A machine in the state of one case, with a task that has switched and one that has not. Each case has one of its own: what a
 * Cpu has learnt of one loop must not be another's gain or loss.
 */
export class Rig {
	readonly machine: Machine;
	readonly #case: CallCase;
	#tasks: { patched?: task_struct; unpatched?: task_struct } = {};
	/** Reason why a livepatch was refused, if one was. */
	#refused: string | undefined;

	private constructor(machine: Machine, which: CallCase) {
		this.machine = machine;
		this.#case = which;
	}

	static async create(which: CallCase, design: string, cpu: string): Promise<Rig> {
		// Few rounds per second, so that a transition outside of the measurement is retried after few rounds.
		const rig = new Rig(await benchMachine("calls.c", { design, cpu, hz: 10 }), which);
		rig.#enter();
		return rig;
	}

	address(name: string): Kaddr {
		const symbol = this.machine.vmlinux.symbol(name);
		if (symbol === undefined) throw new Error(`bench/guest/calls.c has no ${name}`);
		return symbol.address;
	}

	/** Reason why the case cannot be measured under this machine's design; undefined if it can. */
	absent(): string | undefined {
		const { step, depth } = this.#case;
		if (depth !== undefined) {
			const found = this.machine.klp.funcStack(this.address("traced")).length;
			if (found !== depth) return `func_stack has ${found} of ${depth} entries: ${this.#refused ?? "replaced"}`;
		}
		const { result } = this.call(1);
		const names = ["nothing known", "the original", "lp_first", "lp_second", "lp_more"];
		if (result === BigInt(step)) return undefined;
		return `the task runs ${names[Number(result)] ?? result}, not ${names[step]}`;
	}

	/** Wakes the task to call the function `n` times from its loop, and waits until it sleeps again. `loop`: another loop. */
	call(n: number, loop = this.#case.loop ?? "loop_traced"): Called {
		const { memory, executor, sched } = this.machine;
		const task = this.#tasks[this.#case.task ?? "patched"];
		if (task === undefined) throw new Error(`no task for ${this.#case.id}`);
		memory.setU64(this.address("bench_n"), BigInt(n));
		memory.setU64(this.address("bench_result"), 0n);
		memory.setKaddr(this.address("bench_body"), this.address(loop));
		this.machine.tasks.wake(task);
		sched.switch_to(sched.cpus[0]!, task);
		const before = sched.instructions;
		const start = performance.now();
		executor.runSlice(sched.cpus[0]!, task, Number.POSITIVE_INFINITY);
		const milliseconds = performance.now() - start;
		const result = memory.u64(this.address("bench_result"));
		return { milliseconds, result, executed: sched.instructions - before };
	}

	#enter(): void {
		switch (this.#case.state ?? "steady") {
			case "steady":
				this.#tasks.patched = this.#sleeper("stay");
				this.#steady();
				return;
			case "patching":
				this.#tasks = { patched: this.#sleeper("stay"), unpatched: this.#sleeper("stay_old") };
				this.#settled("base", [["traced", "lp_first"]]);
				this.#stack("stay_old");
				this.#check(KLP_TRANSITION_PATCHED);
				return;
			case "unpatching":
				this.#tasks.unpatched = this.#sleeper("stay");
				this.#settled("base", [["traced", "lp_first"]]);
				this.#stack("stay_late");
				if (!this.machine.settle(1000)) throw new Error("the transition does not end");
				this.#tasks.patched = this.#sleeper("stay_late");
				this.machine.shell.write("/sys/kernel/livepatch/top/enabled", "0");
				this.#check(KLP_TRANSITION_UNPATCHED);
				return;
			case "replacing":
				this.#tasks = { patched: this.#sleeper("stay"), unpatched: this.#sleeper("stay_old") };
				this.#settled("base", [
					["traced", "lp_first"],
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
		const task = machine.tasks.add({ name: func, kthread: false, calls: [this.address(func)] });
		for (let i = 0; task.__state === 0; i++) {
			if (i > 1000) throw new Error(`${func} does not sleep`);
			machine.round();
		}
		return task;
	}

	/** Enables a livepatch whose transition no task delays. `set`: a set of its own, so that designs with sets replace no patch. */
	#settled(name: string, funcs: readonly (readonly [string, string])[], set = 0): void {
		const refused = enable(this.machine, name, {
			funcs,
			fields: { replaceable: true, replace_set: set },
		});
		this.#refused ??= refused;
		if (!this.machine.settle(1000)) throw new Error(`the transition of ${name} does not end`);
	}

	#check(target: number): void {
		const { klp_target_state } = this.machine.klp;
		const states = [this.#tasks.patched!.patch_state, this.#tasks.unpatched!.patch_state];
		if (klp_target_state !== target || states[0] !== 1 || states[1] !== 0) {
			throw new Error(`no open transition to ${target} with one task PATCHED and one UNPATCHED (${states})`);
		}
	}

	#stack(held: string): void {
		const refused = enable(this.machine, "top", {
			funcs: [
				["traced", "lp_second"],
				["bottom", "lp_first"],
				[held, "stay_lp"],
			],
		});
		if (refused !== undefined) throw new Error(refused);
		for (let i = 0; i < 50; i++) this.machine.round();
	}

	/** The fields that mean "this patch replaces the older ones" to the design. */
	#replace(): void {
		const refused = enable(this.machine, "top", {
			fields: { replace: 1 },
			funcs: [
				["bottom", "lp_second"],
				["stay_old", "stay_lp"],
			],
		});
		if (refused !== undefined) throw new Error(refused);
		for (let i = 0; i < 50; i++) this.machine.round();
	}

	#steady(): void {
		const { depth = 0, tracers = 0, flags = 0, calls = "gate" } = this.#case;
		for (let entry = 1; entry <= depth; entry++) {
			// Each in a set of its own, so that designs with sets keep all of them, if they can.
			this.#settled(`lp${entry}`, [["traced", entry === 1 ? "lp_first" : "lp_more"]], entry);
		}
		for (let i = 0; i < tracers; i++) this.#tracer(flags, this.#gate() + (calls === "ret" ? BARE_RET : 0));
		if (calls === "ret" && tracers === 0) this.#callRet();
	}

	/** The site calls only a bare ret. */
	#callRet(): void {
		const { cpu, memory, ftrace } = this.machine;
		const site = ftrace.ftrace_location(this.address("traced"));
		memory.write(site, ftrace_call_replace(site, this.#gate() + BARE_RET));
		cpu.textChanged(site, MCOUNT_INSN_SIZE);
	}

	/** One more ops on traced(), whose trampoline calls `func`; to be run to its end. */
	*#register(flags: number, func: Kaddr): Kernel<void> {
		const { ftrace } = this.machine;
		const ops = new ftrace_ops("tracer", undefined, func, undefined, FTRACE_OPS_FL.DYNAMIC | flags);
		ftrace.ftrace_set_filter_ip(ops, ftrace.ftrace_location(this.address("traced")), false);
		const ret = yield* ftrace.register_ftrace_function(ops);
		if (ret !== 0) throw new Error(`a tracer cannot be registered (${ret})`);
	}

	#tracer(flags: number, func: Kaddr): void {
		runStraight(this.#register(flags, func));
	}

	/** A gate of the same kind as klp_ftrace_handler(), the call-back of tracers, and a bare ret behind it. */
	#gate(): Kaddr {
		const { cpu, memory } = this.machine;
		if (memory.permissions(GATE_AREA) !== 0) return GATE_AREA;
		memory.map("bench gate", GATE_AREA, PAGE_SIZE, PERM.READ | PERM.EXEC);
		memory.write(GATE_AREA, Uint8Array.from(GATE_BYTES));
		memory.write(GATE_AREA + BARE_RET, Uint8Array.of(RET_INSN_OPCODE));
		cpu.addGate(GATE_AREA, { name: "bench", passes: "store", takes: RDX, at: PT_REGS.RIP, make: () => () => 0 });
		return GATE_AREA;
	}

	/** Registers a tracer up to the write of the int3 at the site, and stops there. */
	#poke(): void {
		const { machine } = this;
		const site = machine.ftrace.ftrace_location(this.address("traced"));
		machine.sched.current = machine.shell.task;
		const code = this.#register(0, this.#gate());
		while (machine.memory.u8(site) !== INT3_INSN_OPCODE) {
			if (code.next().done) throw new Error("the site was never poked");
		}
	}
}
