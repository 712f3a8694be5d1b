import { KlpemuError } from "../../base/index.js";
import { INVARIANTS } from "../../consistency/index.js";
import { Journal } from "../../explore/index.js";
import type { KernelCore } from "../../linux/klp-c/index.js";
import { coreOf, fingerprintOf, type Scenario } from "../../scenario/index.js";
import { type CheckpointOf, readCheckpoint, writeCheckpoint } from "../checkpoints.js";
import { checkWritable } from "../files.js";
import { nodeHost } from "../host.js";
import { version } from "./version.js";

/** Default of --checkpoint-every. */
export const CHECKPOINT_SECONDS = 60;

/** Options of `klpemu explore`. */
export interface CheckpointOptions {
	readonly checkpoint: string | undefined;
	readonly checkpointEvery: bigint | undefined;
	readonly resume: string | undefined;
	readonly design: string | undefined;
	readonly allDesigns: boolean;
	readonly invariant: string | undefined;
	readonly everyInvariant: boolean;
	readonly noReduction: boolean;
	readonly order: bigint | undefined;
	readonly shard: string | undefined;
	readonly dot: string | undefined;
}

/** The checkpoints of one exploration. */
export class Checkpoints {
	readonly #file: string;
	readonly #of: CheckpointOf;
	readonly #every: number;
	#last = performance.now();
	readonly journal: Journal;

	private constructor(file: string, of: CheckpointOf, every: number, journal: Journal) {
		this.#file = file;
		this.#of = of;
		this.#every = every;
		this.journal = journal;
	}

	/** Undefined: no options ask for them. Throws `CLI_BAD_ARGUMENT`, `EXPLORE_CHECKPOINT`. */
	static async from(options: CheckpointOptions, scenario: Scenario, file: string, core: KernelCore | undefined) {
		const { checkpoint, resume, checkpointEvery } = options;
		const target = checkpoint ?? resume;
		if (target === undefined) {
			if (checkpointEvery === undefined) return undefined;
			throw bad("--checkpoint-every needs --checkpoint or --resume", "they name the file");
		}
		const others = {
			"--all-designs": options.allDesigns,
			"--shard": options.shard,
			"--order": options.order,
			"--dot": options.dot,
		};
		for (const [name, value] of Object.entries(others)) {
			const hint = name === "--all-designs" ? "--design chooses one" : "a checkpoint is of one search in breadth";
			if (value !== undefined && value !== false) throw bad(`--checkpoint and --resume exclude ${name}`, hint);
		}
		await checkWritable(target);
		const host = nodeHost(file);
		const kernel = core ?? (options.design === undefined ? await coreOf(scenario, { host }) : undefined);
		const of: CheckpointOf = {
			version: await version(),
			fingerprint: await fingerprintOf(scenario, host.files),
			design: options.design ?? scenario.design ?? null,
			core: kernel?.hash() ?? null,
			reduction: !options.noReduction,
			everyInvariant: options.everyInvariant,
			invariants: options.invariant === undefined ? INVARIANTS : [options.invariant],
		};
		const journal = new Journal(resume === undefined ? undefined : await readCheckpoint(resume, of));
		return new Checkpoints(target, of, Number(checkpointEvery ?? CHECKPOINT_SECONDS), journal);
	}

	/** Called from time to time. */
	async maybeSave(): Promise<void> {
		if (performance.now() - this.#last >= this.#every * 1000) await this.save();
	}

	/** Throws `FILE_UNWRITABLE`. */
	async save(): Promise<void> {
		await writeCheckpoint(this.#file, this.#of, this.journal.checkpoint());
		this.#last = performance.now();
	}
}

function bad(message: string, hint: string): KlpemuError {
	return new KlpemuError("CLI_BAD_ARGUMENT", message, { where: "klpemu explore", hint });
}
