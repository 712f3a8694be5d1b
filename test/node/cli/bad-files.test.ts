/** Files that are not what an option wants: which file, what it is, and what to do. */
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cliOf } from "../../support/cli.js";
import { livepatchBody, writeKo } from "../../support/ko.js";

const FLAGSHIP = "scenarios/hybrid-lp1-lp2-lp3.yaml";
let folder: string;
let ko: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
	ko = await writeKo(folder, "lp", livepatchBody());
	await writeFile(join(folder, "empty"), "");
	await writeFile(join(folder, "empty.ko"), "");
	await writeFile(join(folder, "text"), "hello\n");
	await writeFile(join(folder, "lp2.ko.xz"), Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4));
	await writeFile(join(folder, "lp3.ko.gz"), Uint8Array.of(0x1f, 0x8b, 8, 0));
});
afterAll(() => rm(folder, { recursive: true }));

const at = (name: string) => join(folder, name);

test.each([
	["run --core, text", () => ["run", FLAGSHIP, "--core", at("text")], /not an ELF file.*\n.*klpemu kernel build/],
	["run --core, empty", () => ["run", FLAGSHIP, "--core", at("empty")], /the file is empty\n.*klpemu kernel build/],
	["kernel show, text", () => ["kernel", "show", at("text")], /not an ELF file.*\n.*klpemu kernel build/],
	["check, empty", () => ["check", at("empty.ko")], /empty.ko: the file is empty\n.*make modules/],
	["check --against, empty", () => ["check", ko, "--against", at("empty")], /empty: the file is empty\n.*System.map/],
	["replay, missing", () => ["replay", at("nope")], /there is no file '.*nope'\n.*klpemu explore .*--save/],
])("%s", async (_what, argv, message) => {
	const { status, stderr } = await cliOf(argv());
	expect([status, stderr]).toEqual([2, expect.stringMatching(message)]);
	expect(stderr).not.toMatch(/gcc|ready scenarios/);
});

test.each([
	["lp2.ko.xz", /lp2.ko.xz: compressed by xz\n.*'xz -dk .*lp2.ko.xz' unpacks it/],
	["lp3.ko.gz", /lp3.ko.gz: compressed by gzip\n.*'gunzip -k .*lp3.ko.gz' unpacks it/],
	["lp4.ko.zst", /there is no file 'lp4.ko.zst'/],
])("insmod: %s", async (file, message) => {
	const scenario = at("compressed.yaml");
	const head = "title: t\nvmlinux: [asm/vmlinux/funcs.c]\ntasks: { t: { calls: [funcA] } }\n";
	await writeFile(scenario, `${head}steps: [{ insmod: ${file} }]\n`);
	const { status, stderr } = await cliOf(["run", scenario]);
	expect([status, stderr]).toEqual([2, expect.stringMatching(message)]);
});

test.each([
	...["--svg", "--junit", "--trace", "--ftrace", "--trace-cmd"].map((option) => ["run", FLAGSHIP, option]),
	["explore", "scenarios/busy.yaml", "--dot"],
	["kernel", "build", "--out"],
])("%s %s %s FILE: the folder of a file is not made", async (...argv) => {
	const { status, stdout, stderr } = await cliOf([...argv, at("missing/file")]);
	expect([status, stdout]).toEqual([2, ""]);
	expect(stderr).toMatch(
		/cannot write '.*missing\/file': there is no folder '.*missing'\n {2}hint: mkdir -p .*missing/,
	);
	expect(existsSync(at("missing"))).toBe(false);
});

test("a damaged kernel core beside a .ko is named, and left out", async () => {
	await writeFile(at("cut.klpcore"), Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1));
	const { stderr } = await cliOf(["check", ko]);
	expect(stderr).toMatch(/cut\.klpcore is left out, and the structures of another file are taken: /);
	const scenario = at("ko.yaml");
	const head = "title: t\nvmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]\ntasks: { t: { calls: [funcA] } }\n";
	await writeFile(scenario, `${head}steps: [{ insmod: lp.ko }, settle]\n`);
	expect((await cliOf(["run", scenario])).status).toBe(0);
});
