/** asm/prebuilt/assembly.json: the engine's own assembly, so that no run has to wait for Keystone. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { EngineImage } from "../../src/assemble/index.js";
import { assembleEngineImage, engineImage } from "../../src/node/index.js";
import { createTestMachine } from "../support/machine.js";

const committed = JSON.parse(readFileSync("asm/prebuilt/assembly.json", "utf8")) as EngineImage;

test("is what Keystone makes of the sources: otherwise run npm run build:objects", async () => {
	// Through JSON, which knows no undefined.
	expect(JSON.parse(JSON.stringify(await assembleEngineImage()))).toEqual(committed);
});

test("is what a machine gets in Node", async () => {
	expect(await engineImage()).toEqual(committed);
});

test("a machine refuses the image of another layout", async () => {
	const externals = { ...committed.externals, next_call: 16 };
	for (const image of [
		{ ...committed, externals },
		{ ...committed, ops: { ...committed.ops, base: 0 } },
	]) {
		await expect(createTestMachine({ cpu: "jit", image })).rejects.toMatchObject({ code: "ENGINE_IMAGE_STALE" });
	}
});
