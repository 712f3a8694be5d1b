import type { Kaddr } from "../../../memory/index.js";
import { type CpuState, RIP, RSP } from "../../cpu.js";
import { AREA } from "../area.js";
import type { RegionInstruction } from "../tier1/index.js";
import { type Profile, Recorder } from "./profile.js";

/** What an exit from the second tier costs, in instructions of the first. */
const EXIT = 64;
/** The most that {@link Heat.warm} is multiplied by: looking costs little. */
const MAX_WARM = 64;
/** Instructions before the same loop may be translated again; twice as many each time. */
const REBUILD = 1 << 20;
/** A translation that has to leave this often, with fewer instructions in between than this, is no good. */
const MAX_REFUSALS = 256;
const INSTRUCTIONS_PER_REFUSAL = 2000;

/** How soon code gets to the second tier. */
export interface Heat {
	/**
	 * Instructions in the first tier after which the Cpu looks where they are; Infinity: never. It doubles each time that nothing new
	 * is found.
	 */
	readonly warm: number;
	/** Instructions of the path that are recorded then. */
	readonly recording: number;
}

export const DEFAULT_HEAT: Heat = { warm: 1 << 16, recording: 1024 };

/** What is special about a translation of the second tier. */
export interface Hot {
	/** The only place where it can be entered. */
	readonly root: Kaddr;
	/** Below this it does nothing. */
	readonly enoughFuel: number;
	readonly profile: Profile;
	/** How often it had to leave something to the first tier, and since when (in instructions). */
	refusals: number;
	since: number;
}

export interface HotSpotsHooks {
	instruction(address: Kaddr): RegionInstruction | undefined;
	find(root: Kaddr): Hot | undefined;
	/** Makes a translation of the second tier; false when it cannot. `unrolled`: small loops are there several times. */
	translate(root: Kaddr, profile: Profile, unrolled: boolean): boolean;
	drop(root: Kaddr): void;
}

/** Decides what is worth a translation of the second tier: counts, records a stretch of the path, picks the busiest loop. */
export class HotSpots {
	readonly #view: Int32Array;
	readonly #hooks: HotSpotsHooks;
	/** Roots whose loops are not to be repeated: checking for several rounds at once failed too often at the last ones. */
	readonly #plain = new Set<Kaddr>();
	readonly #hopeless = new Set<Kaddr>();
	/** When each root may be translated again, and after how long the next time. */
	readonly #rebuild = new Map<Kaddr, { at: number; pause: number }>();
	/** Instructions so far. */
	#total = 0;
	#recorder: Recorder | undefined;
	#heat = 0;
	readonly #options: Heat;
	#warm: number;
	/** The second tier had to leave the instruction at rip to the first. */
	#refused = false;
	/** Execution is in the second tier, as far as we know. */
	cool = false;

	constructor(view: Int32Array, hooks: HotSpotsHooks, options: Heat) {
		this.#view = view;
		this.#hooks = hooks;
		this.#options = options;
		this.#warm = options.warm;
	}

	get recording(): boolean {
		return this.#recorder !== undefined;
	}

	/** The path goes on somewhere else. */
	interrupted(): void {
		this.#recorder?.interrupted();
	}

	/** Before each instruction while recording. */
	record(state: CpuState): void {
		const low = state.halves[2 * RIP]!;
		if (low >= 0 || state.halves[2 * RIP + 1] !== -1) this.#recorder = undefined;
		else if (this.#recorder!.add(low, state.halves[2 * RSP]!)) this.#learn();
	}

	/** Translated code has run so many instructions. */
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
		const { profile, root } = this.#recorder!.finish((address) => this.#hooks.instruction(address));
		this.#recorder = undefined;
		const made = root !== undefined && this.#make(root, profile);
		this.#warm = made ? this.#options.warm : Math.min(2 * this.#warm, MAX_WARM * this.#options.warm);
	}

	#make(root: Kaddr, profile: Profile): boolean {
		const rebuild = this.#rebuild.get(root) ?? { at: 0, pause: REBUILD };
		// One whose calls never go the same way for long is not worth a translation each time.
		if (this.#hopeless.has(root) || this.#total < rebuild.at) return false;
		const old = this.#hooks.find(root)?.profile;
		if (old !== undefined && !old.merge(profile)) return false;
		this.#rebuild.set(root, { at: this.#total + rebuild.pause, pause: 2 * rebuild.pause });
		return this.#hooks.translate(root, old ?? profile, !this.#plain.has(root));
	}

	/** Shall this translation run now? */
	wants(hot: Hot | undefined, fuel: number): hot is Hot {
		const refused = this.#refused;
		this.#refused = false;
		return hot !== undefined && !refused && fuel >= hot.enoughFuel;
	}

	/** The first tier has to do the instruction at rip. `clock`: instructions so far. */
	refused(clock: number): void {
		this.#refused = true;
		const root = this.#view[AREA.refused >> 2]!;
		const hot = this.#hooks.find(root);
		if (hot === undefined || ++hot.refusals < MAX_REFUSALS) return;
		if (clock - hot.since < MAX_REFUSALS * INSTRUCTIONS_PER_REFUSAL) {
			(this.#plain.has(root) ? this.#hopeless : this.#plain).add(root);
			this.#hooks.drop(root);
		}
		hot.refusals = 0;
		hot.since = clock;
	}
}
