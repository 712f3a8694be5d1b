import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cliOf } from "../../support/cli.js";

async function doctor(env: Record<string, string>, ...args: string[]) {
	const { status, stdout, stderr } = await cliOf(["doctor", ...args], { env });
	return { status, text: stdout + stderr };
}

describe("klpemu doctor", () => {
	const empty = mkdtempSync(join(tmpdir(), "klpemu-"));
	const full = mkdtempSync(join(tmpdir(), "klpemu-"));
	for (const name of ["gcc", "make"]) {
		writeFileSync(join(full, name), "");
		chmodSync(join(full, name), 0o755);
	}

	test("names each thing, what it adds and how to get it", async () => {
		const { status, text } = await doctor({ PATH: empty });
		expect(status).toBe(0);
		expect(text).toContain(`✓ Node: ${process.versions.node}\n    for: everything\n`);
		expect(text).toMatch(/^- gcc: not there\n {4}for: C and .*\n {4}to get it: apt-get install gcc$/m);
		for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(120);
	});
	test("finds programs as a shell does, and $CC", async () => {
		const found = async (env: Record<string, string>) => {
			const all = JSON.parse((await doctor(env, "--json")).text) as { name: string; found: string | null }[];
			return Object.fromEntries(all.map(({ name, found }) => [name, found]));
		};
		expect(await found({ PATH: `${empty}:${full}` })).toMatchObject({
			gcc: join(full, "gcc"),
			make: join(full, "make"),
		});
		expect(await found({ PATH: empty, CC: join(full, "make") })).toMatchObject({ gcc: join(full, "make"), make: null });
		expect(await found({ PATH: full, CC: "clang" })).toMatchObject({ gcc: null });
	});
});
