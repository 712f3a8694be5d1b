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

test("a checkpoint of another model is refused", async () => {
	const journal = new Journal();
	await exploreModel(await modelOf(YAML), { journal, budget: 60 });
	const other = YAML.replace("tasks: {", "tasks: { c: { calls: [funcA] },");
	const from = new Journal(journal.checkpoint());
	await expect(exploreModel(await modelOf(other), { journal: from })).rejects.toMatchObject({
		code: "EXPLORE_CHECKPOINT",
	});
});
