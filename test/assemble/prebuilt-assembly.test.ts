/** asm/prebuilt/assembly.json: what a machine needs when it starts, so that nobody has to wait for Keystone. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { assembledSoFar, assembleNow, type PrebuiltAssembly } from "../../src/assemble/assemble.js";
import { createTestMachine } from "../support/machine.js";

const prebuilt = JSON.parse(readFileSync("asm/prebuilt/assembly.json", "utf8")) as PrebuiltAssembly[];

test("is all that a machine assembles: otherwise run npm run build:objects", async () => {
	(await createTestMachine({ cpu: "jit" })).it.close();
	const made = ({ fileName, base, source, externals }: PrebuiltAssembly) => ({ fileName, base, source, externals });
	expect(assembledSoFar().map(made)).toEqual(prebuilt.map(made));
});

test.each(prebuilt.map((entry) => [entry.fileName, entry] as const))(
	"%s is what Keystone makes of it",
	async (_, entry) => {
		const now = await assembleNow(entry.source, entry.fileName, entry.base, entry.externals);
		expect(Buffer.from(now.bytes).toString("hex")).toBe(entry.bytes);
		expect([...now.symbols]).toEqual(entry.symbols);
		// Through JSON, which knows no undefined.
		expect(JSON.parse(JSON.stringify(now.hints.hints))).toEqual(entry.hints);
	},
);
