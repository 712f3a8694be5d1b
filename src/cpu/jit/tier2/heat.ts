import type { Kaddr } from "../../../memory/index.js";
import { type CpuState, RIP, RSP } from "../../cpu.js";
import { AREA } from "../area.js";
import type { RegionInstruction } from "../tier1/index.js";
import { type Profile, Recorder } from "./profile.js";

/** The cost of an exit from the second tier, in instructions of the first. */
const EXIT = 64;
/** The largest factor for {@link Heat.warm}; a recording costs little. */
const MAX_WARM = 16;
/** Number of instructions before the same loop may be translated again. The number doubles each time. */
const REBUILD = 1 << 20;
/** A translation is dropped if it leaves this often, with fewer instructions between two exits on average. */
const MAX_REFUSALS = 256;
const INSTRUCTIONS_PER_REFUSAL = 2000;

/** Limits that decide when code moves to the next tier. */
export interface Heat {
	/** How often an instruction is interpreted until it is translated for the first tier; 0: at once; Infinity: always. */
	readonly cold: number;
	/**
	 * Instructions outside of the second tier after which the Cpu looks where they are; Infinity: never. It doubles each time that
	 * nothing new is found.
	 */
	readonly warm: number;
	/** Number of instructions in a recording. */
	readonly recording: number;
}

/**
 * A recording and the first translation of it take some 20 ms. A run of a scenario has 50,000 to 200,000 instructions, and would pay for
 * what it never uses.
 */
export const DEFAULT_HEAT: Heat = { cold: 1000, warm: 1 << 18, recording: 1024 };

/** The additional properties of a translation of the second tier. */
export interface Hot {
	/** The only place where it can be entered. */
	readonly root: Kaddr;
	/** With less fuel the translation does nothing. */
	readonly enoughFuel: number;
	readonly profile: Profile;
	/** Number of exits to the first tier, and the instruction count at which counting began. */
	refusals: number;
	since: number;
}

/** The translations of the second tier, as far as heat makes and drops them. */
export interface HotTranslations {
	instruction(address: Kaddr): RegionInstruction | undefined;
	find(root: Kaddr): Hot | undefined;
	/** Makes a translation of the second tier; false if it cannot. `unrolled`: the bodies of small loops are repeated. */
	translate(root: Kaddr, profile: Profile, unrolled: boolean): boolean;
	drop(root: Kaddr): void;
}

/**
 * Decides which code gets a translation of the second tier: counts, records a stretch of the path, picks the busiest
 * loop.
 */
export class HotSpots {
	readonly #view: Int32Array;
	readonly #translations: HotTranslations;
	/**
	 * Roots whose loops are not unrolled, because the check for several rounds at once failed too often in the last
	 * rounds.
	 */
	readonly #plain = new Set<Kaddr>();
	/** Roots that are not translated any more. */
	readonly #hopeless = new Set<Kaddr>();
	/** The instruction count from which each root may be translated again, and the wait after that. */
	readonly #rebuild = new Map<Kaddr, { at: number; pause: number }>();
	/** Instructions so far. */
	#total = 0;
	#recorder: Recorder | undefined;
	#heat = 0;
	readonly #options: Heat;
	#warm: number;
	/** The second tier has left the instruction at rip to the first. */
	#refused = false;
	/** When translated code last returned, it was in the second tier. */
	cool = false;

	constructor(view: Int32Array, translations: HotTranslations, options: Heat) {
		this.#view = view;
		this.#translations = translations;
		this.#options = options;
		this.#warm = options.warm;
	}

	get recording(): boolean {
		return this.#recorder !== undefined;
	}

	/** The next instruction does not follow the last one: the host may have switched tasks. */
	interrupted(): void {
		this.#recorder?.interrupted();
	}

	/** Called before each instruction while recording. */
	record(state: CpuState): void {
		const low = state.halves[2 * RIP]!;
		if (low >= 0 || state.halves[2 * RIP + 1] !== -1) this.#recorder = undefined;
		else if (this.#recorder!.add(low, state.halves[2 * RSP]!)) this.#learn();
	}

	/** Called after translated code has run so many instructions. */
	ran(instructions: number): void {
		this.#total += instructions;
		this.cool = this.#view[AREA.stayed >> 2] !== 0;
		const exits = this.#view[AREA.exits >> 2]!;
		this.#view[AREA.exits >> 2] = 0;
		if (this.#recorder !== undefined) return;
		this.#heat += this.cool ? exits * EXIT : instructions;
		if (this.#heat < this.#warm) return;
		this.#heat = 0;
		this.#recorder = new Recorder(this.#options.recording);
	}

	#learn(): void {
		const { profile, root } = this.#recorder!.finish((address) => this.#translations.instruction(address));
		this.#recorder = undefined;
		const made = root !== undefined && this.#make(root, profile);
		this.#warm = made ? this.#options.warm : Math.min(2 * this.#warm, MAX_WARM * this.#options.warm);
	}

	#make(root: Kaddr, profile: Profile): boolean {
		const rebuild = this.#rebuild.get(root) ?? { at: 0, pause: REBUILD };
		// Without this limit, a loop whose calls always go to new targets would be translated again and again.
		if (this.#hopeless.has(root) || this.#total < rebuild.at) return false;
		const old = this.#translations.find(root)?.profile;
		if (old !== undefined && !old.merge(profile)) return false;
		this.#rebuild.set(root, { at: this.#total + rebuild.pause, pause: 2 * rebuild.pause });
		return this.#translations.translate(root, old ?? profile, !this.#plain.has(root));
	}

	/** Whether the Cpu enters this translation now. */
	wants(hot: Hot | undefined, fuel: number): hot is Hot {
		const refused = this.#refused;
		this.#refused = false;
		return hot !== undefined && !refused && fuel >= hot.enoughFuel;
	}

	/** Called if the first tier has to execute the instruction at rip. `clock`: instructions so far. */
	refused(clock: number): void {
		this.#refused = true;
		const root = this.#view[AREA.refused >> 2]!;
		const hot = this.#translations.find(root);
		if (hot === undefined || ++hot.refusals < MAX_REFUSALS) return;
		if (clock - hot.since < MAX_REFUSALS * INSTRUCTIONS_PER_REFUSAL) {
			(this.#plain.has(root) ? this.#hopeless : this.#plain).add(root);
			this.#translations.drop(root);
		}
		hot.refusals = 0;
		hot.since = clock;
	}
}
