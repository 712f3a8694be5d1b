import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Journal } from "../../src/explore/index.js";
import { type CheckpointOf, readCheckpoint, writeCheckpoint } from "../../src/node/checkpoints.js";
import { exploreModel, modelOf, PATCHES } from "../explore/support.js";

const YAML = `${PATCHES}\ntasks: { a: { calls: [funcA] } }\nsteps: [{ insmod: lp1 }]`;
const OF: CheckpointOf = {
	version: "1.0.0",
	fingerprint: "abc",
	design: "mainline",
	core: null,
	reduction: true,
	everyInvariant: false,
	invariants: ["warn"],
};

test("a search that its budget has ended goes on with a larger one, from a file", async () => {
	const folder = await mkdtemp(join(tmpdir(), "klpemu-"));
	try {
		const file = join(folder, "checkpoint");
		const journal = new Journal();
		const bounded = await exploreModel(await modelOf(YAML), { journal, budget: 60 });
		expect(bounded.result).toBe("bounded");
		await writeCheckpoint(file, OF, journal.checkpoint());
		const from = new Journal(await readCheckpoint(file, OF));
		const rest = await exploreModel(await modelOf(YAML), { journal: from });
		const whole = await exploreModel(await modelOf(YAML));
		const told = ({ result, states, transitions, depth }: typeof whole) => [result, states, transitions, depth];
		expect(told(rest)).toEqual(told(whole));

		await expect(readCheckpoint(file, { ...OF, version: "0.9.0" })).rejects.toThrow(/another exploration: version/);
		await expect(readCheckpoint(file, { ...OF, fingerprint: "x" })).rejects.toThrow(/another exploration: fingerprint/);
		const bytes = await readFile(file);
		const damaged = Buffer.from(bytes);
		damaged[bytes.length - 9]! ^= 1;
		for (const [content, message] of [
			[damaged, /it is damaged/],
			[bytes.subarray(0, -4), /it is damaged/],
			[Buffer.from("title: a scenario\n"), /it is no checkpoint/],
			[Buffer.from(bytes.toString("latin1").replace(/ 1 /, " 2 "), "latin1"), /it has format 2/],
		] as const) {
			await writeFile(file, content);
			await expect(readCheckpoint(file, OF)).rejects.toThrow(message);
		}
	} finally {
		await rm(folder, { recursive: true });
	}
});

test("a checkpoint that somebody has written, with the right hash, is refused, whatever is in it", async () => {
	const folder = await mkdtemp(join(tmpdir(), "klpemu-"));
	const journal = new Journal();
	await exploreModel(await modelOf(YAML), { journal, budget: 60 });
	const { searches, numbers } = journal.checkpoint();
	const [search] = searches;
	const read = async (head: unknown, body: Int32Array) => {
		const rest = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), Buffer.from(body.buffer)]);
		const hash = createHash("sha256").update(rest).digest("hex");
		await writeFile(join(folder, "c"), Buffer.concat([Buffer.from(`klpemu-checkpoint 1 ${hash}\n`), rest]));
		return readCheckpoint(join(folder, "c"), OF);
	};
	try {
		const good = { of: OF, searches, numbers: numbers.length };
		expect(await read(good, numbers)).toEqual({ searches: JSON.parse(JSON.stringify(searches)), numbers });
		const with_ = (change: object) => ({ ...good, searches: [{ ...search, ...change }] });
		for (const head of [
			...[null, 5, [], {}, { of: OF }, { ...good, searches: 5 }, { ...good, searches: [null] }],
			...[
				{ ...good, numbers: 1e9 },
				{ ...good, numbers: -1 },
				{ ...good, numbers: numbers.length - 1 },
			],
			...[with_({ entries: "x" }), with_({ width: -1 }), with_({ result: {} }), with_({ state: {} })],
			...[with_({ state: { ...search!.state, levels: [] } }), with_({ state: { ...search!.state, violations: [{}] } })],
		]) {
			await expect(read(head, numbers)).rejects.toMatchObject({ code: "EXPLORE_CHECKPOINT" });
		}
		const outcomes: string[] = [];
		for (const [at, value] of [
			[1, 0x7fffffff],
			[numbers.length >> 1, 0x7fffffff],
			[numbers.length - 1, -0x80000000],
		] as const) {
			const changed = numbers.with(at, value);
			const goesOn = async () => {
				const from = new Journal(await read(good, changed));
				return exploreModel(await modelOf(YAML), { journal: from, budget: 80 });
			};
			outcomes.push(
				await goesOn().then(
					({ result }) => result,
					(error) => error.code,
				),
			);
		}
		// Not each number is looked at before the budget ends.
		expect(outcomes).toContain("EXPLORE_CHECKPOINT");
		expect(outcomes.filter((one) => !["EXPLORE_CHECKPOINT", "bounded"].includes(one))).toEqual([]);
	} finally {
		await rm(folder, { recursive: true });
	}
});

test("a checkpoint of another model is refused", async () => {
	const journal = new Journal();
	await exploreModel(await modelOf(YAML), { journal, budget: 60 });
	const other = YAML.replace("tasks: {", "tasks: { c: { calls: [funcA] },");
	const from = new Journal(journal.checkpoint());
	await expect(exploreModel(await modelOf(other), { journal: from })).rejects.toMatchObject({
		code: "EXPLORE_CHECKPOINT",
	});
});
