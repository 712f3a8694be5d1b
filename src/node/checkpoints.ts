/** Files of interrupted explorations. */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { KlpemuError } from "../base/index.js";
import { INVARIANTS } from "../consistency/index.js";
import type { Checkpoint } from "../explore/index.js";
import { readIfThere, writeWhole } from "./files.js";
import { sha256 } from "./sha256.js";

const MAGIC = "klpemu-checkpoint";
const FORMAT = 1;
/** The first line: {@link MAGIC}, {@link FORMAT} and a hash of all that follows. */
const FIRST_LINE = new RegExp(`^${MAGIC} (\\d+) ([0-9a-f]{64})\n`);

/** All on which the numbers in a checkpoint depend. */
export interface CheckpointOf {
	/** Of klpemu. */
	readonly version: string;
	/** Of the scenario and its sources. */
	readonly fingerprint: string;
	readonly design: string | null;
	readonly core: string | null;
	readonly reduction: boolean;
	readonly everyInvariant: boolean;
	readonly invariants: readonly string[];
}

/** What must be done if a file's value is another one. */
const HINTS: Readonly<Record<keyof CheckpointOf, string>> = {
	version: "another klpemu has made it: finish with that one, or begin again",
	fingerprint: "the scenario or one of its sources has changed: begin again",
	design: "give the same --design",
	core: "give the same --core",
	reduction: "give --no-reduction as it was given then",
	everyInvariant: "give --every-invariant as it was given then",
	invariants: "give the same --invariant",
};

/** Writes a checkpoint; the file is there whole or not at all. Throws `FILE_UNWRITABLE`. */
export async function writeCheckpoint(file: string, of: CheckpointOf, checkpoint: Checkpoint): Promise<void> {
	const { searches, numbers } = checkpoint;
	const head = Buffer.from(`${JSON.stringify({ of, searches, numbers: numbers.length })}\n`);
	const body = Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength);
	const hash = createHash("sha256").update(head).update(body).digest("hex");
	await writeWhole(file, Buffer.concat([Buffer.from(`${MAGIC} ${FORMAT} ${hash}\n`), head, body]));
}

/** Throws `FILE_MISSING`, `EXPLORE_CHECKPOINT` if it is damaged, or of another exploration than `of`. */
export async function readCheckpoint(file: string, of: CheckpointOf): Promise<Checkpoint> {
	const bytes = await readIfThere(file);
	if (bytes === undefined) {
		throw new KlpemuError("FILE_MISSING", `there is no file '${file}'`, {
			hint: "klpemu explore --checkpoint FILE makes one",
		});
	}
	const bad = (message: string, hint: string) => new KlpemuError("EXPLORE_CHECKPOINT", message, { where: file, hint });
	const first = FIRST_LINE.exec(Buffer.from(bytes.subarray(0, 200)).toString("latin1"));
	if (first === null) throw bad("it is no checkpoint of klpemu explore", "give a file that --checkpoint has written");
	const [line, format, hash] = first;
	if (Number(format) !== FORMAT) throw bad(`it has format ${format}, and this klpemu reads ${FORMAT}`, HINTS.version);
	const rest = bytes.subarray(line.length);
	if (sha256(rest) !== hash) {
		throw bad("it is damaged: its contents do not have the hash in its first line", "begin again");
	}
	const end = rest.indexOf(0x0a);
	const head = headIn(Buffer.from(rest.subarray(0, end)).toString());
	if (head === undefined || 4 * head.numbers !== rest.length - end - 1) {
		throw bad("its contents are not those of a checkpoint", "begin again");
	}
	for (const key of Object.keys(HINTS) as (keyof CheckpointOf)[]) {
		const [there, here] = [head.of[key], of[key]].map((value) => JSON.stringify(value));
		if (there !== here) throw bad(`it is of another exploration: ${key} ${there}, here ${here}`, HINTS[key]);
	}
	// A copy: numbers begin at a multiple of four.
	const body = Uint8Array.from(rest.subarray(end + 1));
	return { searches: head.searches, numbers: new Int32Array(body.buffer, 0, head.numbers) };
}

interface Head {
	readonly of: Partial<CheckpointOf>;
	readonly searches: Checkpoint["searches"];
	readonly numbers: number;
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const broken = v.looseObject({ invariant: v.picklist(INVARIANTS), message: v.string() });
const moves = v.array(v.looseObject({ who: v.string(), steps: count }));

/** What a search reads of it; the numbers behind it tell the search itself whether they fit. */
const HEAD = v.object({
	of: v.record(v.string(), v.unknown()),
	numbers: count,
	searches: v.array(
		v.looseObject({
			entries: count,
			width: count,
			result: v.optional(
				v.looseObject({
					result: v.picklist(["complete", "bounded", "violated"]),
					violations: v.array(v.looseObject({ broken, moves })),
					...{ states: count, transitions: count, depth: count, bytes: count },
				}),
			),
			state: v.optional(
				v.looseObject({
					levels: v.pipe(v.array(count), v.minLength(1)),
					violations: v.array(v.looseObject({ broken, from: count, last: moves })),
					...{ transitions: count, lost: v.boolean(), pairs: v.array(count) },
				}),
			),
		}),
	),
});

function headIn(text: string): Head | undefined {
	try {
		const read = v.safeParse(HEAD, JSON.parse(text));
		return read.success ? (read.output as unknown as Head) : undefined;
	} catch {
		// Not JSON.
		return undefined;
	}
}
