/** A device or a pipe in the place of each file that a command reads: an error at once, not a wait for ever or all of memory. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cliOf } from "../../support/cli.js";

const folder = mkdtempSync(join(tmpdir(), "klpemu-devices-"));
const pipe = join(folder, "pipe");
execFileSync("mkfifo", [pipe]);
const OBJECT = "asm/prebuilt/vmlinux/funcs.o";
const GOOD = join(folder, "good.yaml");
const scenario = (more: string) => `title: A file\n${more}\nsteps: [settle]\n`;
writeFileSync(GOOD, scenario("vmlinux: [asm/vmlinux/funcs.c]"));
copyFileSync(OBJECT, join(folder, "funcs.o"));

const named = (name: string, more: string): string => {
	const file = join(folder, `${name}.yaml`);
	writeFileSync(file, scenario(more));
	return file;
};

describe.each(["/dev/zero", pipe])("%s", (bad) => {
	const kind = bad === pipe ? "pipe" : "device";
	test.each([
		["run", bad],
		["run", GOOD, "--core", bad],
		["run", named(`${kind}-source`, `vmlinux: ["${bad}"]`)],
		["run", named(`${kind}-core`, `vmlinux: [asm/vmlinux/funcs.c]\ncore: "${bad}"`)],
		["run", named(`${kind}-selftest`, `vmlinux: [asm/vmlinux/funcs.c]\nselftest: "${bad}"`)],
		["explore", bad],
		["replay", bad],
		["merge", bad, bad],
		["disasm", bad],
		["check", bad],
		["check", OBJECT, "--against", bad],
		["check", OBJECT, "--core", bad],
		["kernel", "show", bad],
		["kernel", "build", "--source", bad],
		["kernel", "build", "--patch", bad],
		["selftest", "--modules", bad],
		["gdb", bad],
		["kit", bad, "--out", join(folder, "kit")],
		["compare", bad, bad],
		["compare", GOOD, bad],
		["campaign", bad],
	])("klpemu %s, case %#", async (...argv) => {
		const { status, stderr } = await cliOf(argv);
		expect([status, stderr]).toEqual([
			2,
			expect.stringMatching(/no regular file|is no folder|not a folder|neither|no '\.c'/),
		]);
	});
});
