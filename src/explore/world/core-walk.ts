import { type Cpu, RDI, RIP, RSP, type Stop } from "../../cpu/index.js";
import { COND_RESCHED } from "../../linux/exports/index.js";
import type { CoreCode } from "../../linux/klp/index.js";
import type { task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { GuestCode } from "./guest-code.js";

/**
 * Tasks in a livepatch core that is guest code: in klp_ftrace_handler(), in klp_update_patch_state() on their way to user mode and in the
 * idle loop, in __klp_sched_try_switch() of cond_resched(). A task's way there depends on its own fields, on its call, and on the
 * shared values that it has read since it came in: these are its place, because registers hold other data as well.
 */
export class CoreWalk {
	readonly #machine: Machine;
	readonly #cpu: Cpu;
	readonly #core: CoreCode;
	readonly #code: GuestCode;
	/** The values that the task has read in the core; undefined: it is not there. */
	place: string | undefined = undefined;

	constructor(machine: Machine, core: CoreCode, code: GuestCode) {
		this.#machine = machine;
		this.#cpu = machine.cpu;
		this.#core = core;
		this.#code = code;
	}

	/** A task makes a move from that place. */
	begin(place: string | undefined): void {
		this.place = place;
	}

	/** The task is about to access shared memory, and has done so once in this move. */
	isPoint(task: task_struct): boolean {
		return this.#core.contains(this.#cpu.state.kaddr(RIP)) && this.#code.isPoint(task);
	}

	get label(): string {
		return this.#machine.symbols.sprint_symbol(this.#cpu.state.kaddr(RIP), true);
	}

	/**
	 * The task has returned from klp_ftrace_handler() to its trampoline: it has chosen where it goes, and is not there yet. A move ends here,
	 * because others may look at its stack now, and write what the handler has read.
	 */
	hasChosen(next: Kaddr): boolean {
		if (this.place === undefined || this.#core.contains(next)) return false;
		return this.#machine.ftrace.trampolines.containing(next) !== undefined;
	}

	/** Executes one instruction. Undefined: it is none of the core's. */
	step(task: task_struct): Stop | undefined {
		if (!this.#core.contains(this.#cpu.state.kaddr(RIP))) {
			// Its own functions call thunks, and gates that do not stop: these are no way out of it.
			const isGate = this.#machine.symbols.gateAt(this.#cpu.state.kaddr(RIP)) !== undefined;
			if (isGate && this.place !== undefined) return this.#code.step(task);
			this.place = undefined;
			return undefined;
		}
		this.place ??= "";
		const read = this.#code.valuesRead(task);
		if (read !== undefined) this.place += `>${read}`;
		return this.#code.step(task);
	}

	/** At a gate that has stopped the Cpu, the task calls the core's function, which returns to the gate. */
	enter(task: task_struct, gate: string): void {
		const { entries, structOf } = this.#core;
		const { state, memory } = this.#cpu;
		const tries = COND_RESCHED.includes(gate);
		const sp = (state.kaddr(RSP) - 8) | 0;
		memory.setU64(sp, state.rip);
		state.setKaddr(RSP, sp);
		state.words[RDI] = toU64(structOf(task));
		state.rip = toU64(tries ? entries.__klp_sched_try_switch : entries.klp_update_patch_state);
		this.place = "";
	}

	/** The task has returned to the gate at which it had called the core. What it has read there matters no more. */
	leave(): void {
		this.place = undefined;
	}

	/** The gate to which a function of the core returns with the next instruction. */
	isBack(ip: Kaddr): string | undefined {
		if (this.place === undefined || this.#core.contains(ip)) return undefined;
		const gate = this.#machine.symbols.gateAt(ip);
		return gate !== undefined && BACK.includes(gate) && this.#machine.memory.u8(ip) === RET ? gate : undefined;
	}
}

const BACK: readonly string[] = ["exit_to_user_mode", "do_idle", ...COND_RESCHED];
const RET = 0xc3;
