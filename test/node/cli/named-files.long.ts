/** A command reads the files that are named, and those of klpemu; it writes what it is told to. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "klpemu-named-"));
const scenario = join(folder, "one.yaml");
writeFileSync(
	scenario,
	`title: Named files
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
tasks: { worker: { calls: [funcA] } }
steps: [{ insmod: lp1 }, settle]
`,
);
// What nobody names.
for (const name of ["two.yaml", "package.json", "tsconfig.json", ".klpemurc"]) writeFileSync(join(folder, name), "{}");
mkdirSync(join(folder, "home"));

test("run and explore open nothing that is not named, and write what --svg and --save say", () => {
	const log = join(folder, "log");
	const klpemu = (...args: string[]) => {
		writeFileSync(log, "");
		const hooks = ["tsx", join(ROOT, "test/support/watch-files.mjs")].flatMap((name) => ["--import", name]);
		const { status, stderr } = spawnSync(process.execPath, [...hooks, "src/node/cli/main.ts", ...args], {
			cwd: ROOT,
			encoding: "utf8",
			env: { PATH: process.env.PATH, HOME: join(folder, "home"), TMPDIR: folder, KLPEMU_FILES: log },
		});
		// A slow machine says how far the search is.
		expect([status, stderr.replace(/^[\w-]+: \d+ states \(\d+ %\), .*\n/gm, "")]).toEqual([0, ""]);
		const lines = readFileSync(log, "utf8").trim().split("\n");
		// Code of packages, and what tsx keeps of what it compiles.
		const files = lines
			.map((line) => line.replace(/file:\/\//, ""))
			.filter((line) => !/tsx-\d+|\/node_modules\//.test(line));
		const outside = files.filter((line) => relative(ROOT, line.split(" ")[1]!).startsWith(".."));
		return [...new Set([...outside, ...files.filter((line) => line.startsWith("write"))])].sort();
	};
	expect(klpemu("run", scenario)).toEqual([`read ${scenario}`]);
	const picture = join(folder, "one.svg");
	const written = klpemu("run", scenario, "--svg", picture).filter((line) => line !== `read ${scenario}`);
	expect(written.every((line) => line.startsWith(`write ${picture}`) || line === `write ${folder}`)).toBe(true);
	expect(written.length).toBeGreaterThan(0);
	expect(klpemu("explore", scenario, "--save", join(folder, "found"))).toEqual([`read ${scenario}`]);
});
