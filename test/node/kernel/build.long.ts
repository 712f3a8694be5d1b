import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parseKernelCore, parseKernelLayout } from "../../../src/linux/klp-c/index.js";
import { type BuiltKernel, buildKernelCore } from "../../../src/node/kernel/build.js";
import { type Headers, installedHeaders, PLACES, sourceFor } from "../../../src/node/kernel/headers.js";
import { unpack } from "../../../src/node/kernel/unpack.js";
import { PROJECT } from "../../../src/node/project.js";
import { sha256 } from "../../../src/node/sha256.js";
import { skipBecause } from "../../support/skip.js";

/** The committed facts. */
const LAYOUT = "asm/kernel-layouts/6.12-cloud-amd64.json";

let folder: string;
let headers: Headers | undefined;
let built: BuiltKernel | undefined;
/** Why there is no `built`. */
let missing = "";
/** The core's files, unpacked. */
let tree: string;

beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
	tree = join(folder, "tree");
	try {
		headers = await installedHeaders(PLACES);
		const source = await sourceFor(headers, PLACES);
		await mkdir(tree);
		await unpack(source, headers, ["include/linux/livepatch.h"], tree);
	} catch (error) {
		missing = `klpemu kernel build cannot run here: ${String(error)}`;
		return;
	}
	built = await buildKernelCore({ headers: headers.folder, source: tree });
});
afterAll(() => rm(folder, { recursive: true }));

/** A unified diff of one file of the tree. */
async function patch(name: string, path: string, from: string, to: string): Promise<string> {
	const before = await readFile(join(tree, path), "utf8");
	const lines = before.split("\n");
	const at = lines.findIndex((line) => line.includes(from));
	if (at < 0) throw new Error(`${path} has no ${from}`);
	const hunk = [
		`@@ -${at},3 +${at},3 @@`,
		` ${lines[at - 1]}`,
		`-${lines[at]}`,
		`+${lines[at]!.replace(from, to)}`,
		` ${lines[at + 1]}`,
	];
	const file = join(folder, name);
	await writeFile(file, `--- a/${path}\n+++ b/${path}\n${hunk.join("\n")}\n`);
	return file;
}

describe("a kernel core file", () => {
	test("is what kernel/livepatch needs and provides, and the layout", (context) => {
		if (built === undefined) skipBecause(context.skip, missing);
		const { info, layout, object } = parseKernelCore(built.bytes, "core");
		expect(info).toEqual(built.info);
		expect(info.release).toBe(headers!.release);
		expect(info.config.CONFIG_LIVEPATCH).toBe("y");
		expect(info.compiler).toMatch(/^gcc .*\d+\.\d+/);
		expect(Object.keys(info.sources)).toEqual(expect.arrayContaining(["kernel/livepatch/core.c", "klpemu/layout.c"]));
		expect(info.sources["klpemu/lib.c"]).toBe(sha256(readFileSync("asm/kernel-env/lib.c")));
		const defined = new Map(
			object.symbols.filter(({ section }) => section !== 0).map((symbol) => [symbol.name, symbol]),
		);
		for (const name of ["klp_enable_patch", "klp_mutex", "ftrace_regs_caller", "init_task", "__x86_return_thunk"]) {
			expect([name, defined.has(name)]).toEqual([name, true]);
		}
		// The initial object is as large as the layout says.
		expect(defined.get("init_task")!.size).toBe(layout.size("struct task_struct"));
		expect(defined.get("pcpu_hot")!.size).toBe(layout.size("struct pcpu_hot"));
		const sites = object.sections.find(({ name }) => name === "__mcount_loc")!.size / 8;
		const own = object.symbols.filter(({ name }) => /^(strlen|task_call_func|_raw_spin_lock)$/.test(name));
		expect([sites > 50, own.length]).toEqual([true, 3]);
	});

	test("names itself as in a kernel, and nothing of this machine is in it", (context) => {
		if (built === undefined) skipBecause(context.skip, missing);
		const text = Buffer.from(built.bytes).toString("latin1");
		for (const own of ["\0kernel/livepatch/core.c\0", "livepatch: enabling patch"]) {
			expect([own, text.includes(own)]).toEqual([own, true]);
		}
		for (const path of [folder, tmpdir(), PROJECT, headers!.folder, "/usr/", "/home/", "klpemu-"]) {
			expect([path, text.includes(path)]).toEqual([path, false]);
		}
	});

	test("has the same bytes whenever and wherever it is made, from a tree and from a tarball", async (context) => {
		if (built === undefined) skipBecause(context.skip, missing);
		const again = await buildKernelCore({});
		expect(again.source.packed).toBe(true);
		expect(sha256(again.bytes)).toBe(sha256(built.bytes));
		expect(again.notices).toEqual([]);
	});

	test("has the committed facts of Debian's kernel", (context) => {
		if (built === undefined) skipBecause(context.skip, missing);
		const committed = parseKernelLayout(readFileSync(LAYOUT, "utf8"), LAYOUT);
		const { layout } = parseKernelCore(built.bytes, "core");
		const hint = "npm run build:kernel-layouts writes the file again";
		if (committed.release !== layout.release) {
			skipBecause(context.skip, `${LAYOUT} is of ${committed.release}, the headers are of ${layout.release}: ${hint}`);
		}
		expect([...layout.entries.keys()], hint).toEqual([...committed.entries.keys()]);
		for (const name of layout.entries.keys())
			expect([name, layout.constant(name)]).toEqual([name, committed.constant(name)]);
	});
});

describe("patches", () => {
	test("one that changes a header changes the layout; what is not compiled is told", async (context) => {
		if (built === undefined) skipBecause(context.skip, missing);
		const path = "include/linux/livepatch.h";
		const first = await patch("set.patch", path, "bool replace;", "bool replace; unsigned int replace_set[64];");
		await mkdir(join(tree, "samples"), { recursive: true });
		await writeFile(join(tree, "samples/a.c"), "one\ntwo\nthree\n");
		const second = await patch("sample.patch", "samples/a.c", "two", "2");
		await writeFile(join(tree, "kernel/livepatch/Kconfig"), "config A\n\tdefault n\n\tbool\n");
		const third = await patch("option.patch", "kernel/livepatch/Kconfig", "default n", "default y");
		const patches = [first, second, third];
		const patched = await buildKernelCore({ headers: headers!.folder, source: tree, patches });
		const size = (bytes: Uint8Array) => parseKernelCore(bytes, "core").layout.size("struct klp_patch");
		expect(size(patched.bytes)).toBe(size(built.bytes) + 256);
		expect(patched.info.patches.map(({ name, files }) => [name, files])).toEqual([
			["set.patch", [path]],
			["sample.patch", []],
			["option.patch", []],
		]);
		expect(Object.keys(patched.info.sources)).toEqual([...Object.keys(built.info.sources), path].sort());
		expect(patched.notices).toEqual([
			"sample.patch: samples/a.c is not compiled into the core: this part of the patch has no effect",
			"option.patch: kernel/livepatch/Kconfig is not read: options that this part of the patch adds are not set",
		]);
	});

	test("a mistake in a patched file: gcc's own words", async (context) => {
		if (built === undefined) skipBecause(context.skip, missing);
		const mistake = await patch("bad.patch", "kernel/livepatch/state.c", "version", "versoin");
		await expect(buildKernelCore({ headers: headers!.folder, source: tree, patches: [mistake] })).rejects.toMatchObject(
			{
				code: "KBUILD_FAILED",
				reason: expect.stringMatching(/\nkernel\/livepatch\/state\.c:\d+:\d+: error: .*versoin/),
			},
		);
	});
});

describe("the machine is left as it was", () => {
	test.for([
		{ name: "make", absent: /^make$/, hint: "apt-get install -y make" },
		{ name: "gcc", absent: /^(.*gcc.*|cc)$/, hint: "apt-get install -y gcc" },
	])("no $name", async ({ absent, hint }, context) => {
		if (built === undefined) skipBecause(context.skip, missing);
		const bin = await mkdtemp(join(folder, "bin-"));
		for (const name of await readdir("/usr/bin"))
			if (!absent.test(name)) await symlink(`/usr/bin/${name}`, join(bin, name));
		vi.stubEnv("PATH", bin);
		vi.stubEnv("TMPDIR", folder);
		await expect(buildKernelCore({ headers: headers!.folder, source: tree })).rejects.toMatchObject({
			code: "TOOL_MISSING",
			hint: expect.stringContaining(hint),
		});
		vi.unstubAllEnvs();
		expect(readdirSync(folder).filter((name) => name.startsWith("klpemu-"))).toEqual([]);
	});

	test("Ctrl-C in the middle leaves no folder and no file", async (context) => {
		if (built === undefined) skipBecause(context.skip, missing);
		const temporary = join(folder, "tmp");
		await mkdir(temporary);
		const out = join(folder, "never.klpcore");
		const args = ["--import", "tsx", "src/node/cli/main.ts", "kernel", "build", "--source", tree, "--out", out];
		// A gcc that has begun to compile, and does not end.
		const bin = await mkdtemp(join(folder, "gcc-"));
		const compiles = `case "$*" in *livepatch/core.c*) touch ${bin}/begun; exec sleep 3600;; esac`;
		for (const name of (await readdir("/usr/bin")).filter((name) => /^(x86_64-linux-gnu-)?gcc(-\d+)?$/.test(name))) {
			await writeFile(join(bin, name), `#!/bin/sh\n${compiles}\nexec /usr/bin/${name} "$@"\n`, { mode: 0o755 });
		}
		const child = spawn(process.execPath, args, {
			cwd: PROJECT,
			env: { ...process.env, TMPDIR: temporary, PATH: `${bin}:${process.env.PATH}` },
			stdio: "ignore",
		});
		const made = async () => (await readdir(temporary)).filter((name) => name.startsWith("klpemu-"));
		await expect.poll(() => existsSync(join(bin, "begun"))).toBe(true);
		expect(await made()).toHaveLength(1);
		child.kill("SIGINT");
		expect(await once(child, "exit")).toEqual([null, "SIGINT"]);
		expect([await made(), existsSync(out)]).toEqual([[], false]);
	});
});
