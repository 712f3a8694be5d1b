/** .ko files in scenarios: as sources, and named by an insmod step. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import { LAYOUT_FILE } from "../../src/node/kernel/index.js";

import { createModel, hintsFor, parseScenario, runScenario } from "../../src/scenario/index.js";
import { exploreModel } from "../explore/support.js";
import { KO_RELEASE, livepatchBody, writeKo } from "../support/ko.js";
import { createTestMachine } from "../support/machine.js";
import { LONG } from "../support/sample.js";
import { KERNEL_KO, NO_KERNEL_CORE, skipBecause } from "../support/skip.js";

const TARGET = `
long in_target(long x) { return x; }
static int lp_init(void) { return 0; }
static void lp_exit(void) { }
`;

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
	await writeKo(folder, "lp", livepatchBody());
	await writeKo(folder, "target_mod", TARGET, { livepatch: false });
	const objects = '{ .name = "target_mod", .funcs = funcs }, { }';
	await writeKo(folder, "lp_target", livepatchBody({ objects }).replace('"funcA"', '"in_target"'));
	await writeKo(folder, "old", livepatchBody(), { vermagic: "6.1.0-13-amd64 SMP preempt mod_unload modversions " });
});
afterAll(() => rm(folder, { recursive: true }));

const VMLINUX = "title: t\nvmlinux: [asm/vmlinux/kernel.c, asm/vmlinux/funcs.c]\n";
const parse = (yaml: string) => parseScenario(VMLINUX + yaml, join(folder, "s.yaml"));
const run = (yaml: string) => runScenario(parse(yaml), { host: nodeHost(join(folder, "s.yaml")) });

describe("a .ko in a scenario", () => {
	test("is a source of a livepatch", async () => {
		const report = await run(`
livepatches: { lp: { sources: [lp.ko] } }
tasks: { t: { calls: [funcA] } }
steps: [insmod: lp, settle, expect: { task: t, view: { funcA: new_funcA } }, disable: lp, settle, rmmod: lp]`);
		expect(report).toMatchObject({ asExpected: true, verdict: "consistent" });
	});

	test("is declared by the insmod step that names its file; later steps name the module", async () => {
		const report = await run(`
tasks: { t: { calls: [funcA] } }
steps: [insmod: ./lp.ko, settle, expect: { task: t, view: { funcA: new_funcA } }, disable: lp, settle, rmmod: lp, insmod: ./lp.ko]`);
		expect(report).toMatchObject({ asExpected: true, verdict: "consistent" });
		expect(report.steps[0]!.action).toBe("insmod lp");
	});

	test("can be the target: its functions can be called and patched", async () => {
		const report = await run(`
tasks: { t: { calls: [in_target], idle: true } }
steps:
  - insmod: target_mod.ko
  - insmod: lp_target.ko
  - settle
  - expect: { func_stacks: { "target_mod:in_target": [new_funcA] } }`);
		expect(report.failures).toEqual([]);
		expect(report.verdict).toBe("consistent");
	});

	test("runs under every design that its keys fit", async () => {
		const scenario = parse("steps: [insmod: lp.ko, settle]");
		for (const design of ["universe", "rfc-2025"]) {
			const report = await runScenario(scenario, { host: nodeHost(join(folder, "s.yaml")), design });
			expect(report).toMatchObject({ asExpected: true, design });
		}
	});

	test("is explored, as one that enables itself and, in test:long, as a target module", async () => {
		const host = nodeHost(join(folder, "s.yaml"));
		const explore = async (yaml: string) => exploreModel(await createModel(parse(yaml), { host }));
		expect(await explore("steps: [insmod: lp.ko, settle]")).toMatchObject({ result: "complete", violations: [] });
		if (!LONG) return;
		const exploration = await explore(`
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], objects: { target_mod: { in_target: lp1_funcA } } } }
tasks: { t: { calls: [funcA] } }
steps: [insmod: lp1, insmod: target_mod.ko, disable: lp1]`);
		expect(exploration).toMatchObject({ result: "complete", violations: [] });
	});
});

describe("a .ko that cannot be what the scenario says is an error", () => {
	test.each([
		[
			"another name",
			"livepatches: { other: { sources: [lp.ko] } }",
			/'lp.ko' is the module 'lp', not 'other'\n.*call it lp/,
		],
		["other sources", "livepatches: { lp: { sources: [lp.ko, lp.c] } }", /'lp' has a .ko and other sources/],
		[
			"two kernels",
			"livepatches: { lp: { sources: [lp.ko] }, old: { sources: [old.ko] } }",
			/is of Linux 6.1.0-13-amd64, and/,
		],
		[
			"an unknown kernel",
			"livepatches: { old: { sources: [old.ko] } }",
			/6.1.0-13-amd64, whose layout is not known \(known: .*6.12/,
		],
		[
			"what is patched",
			"livepatches: { lp: { sources: [lp.ko], funcs: { funcA: new_funcA } } }",
			/says what it patches twice/,
		],
	])("%s", async (_what, yaml, message) => {
		await expect(run(`${yaml}\nsteps: [run: 1]`)).rejects.toThrow(message);
	});

	test("part of vmlinux", async () => {
		const yaml = "title: t\nvmlinux: [asm/vmlinux/kernel.c, lp.ko]\nsteps: [run: 1]";
		const file = join(folder, "s.yaml");
		await expect(runScenario(parseScenario(yaml, file), { host: nodeHost(file) })).rejects.toThrow(
			/s.yaml:2:33: 'lp.ko' is a module, and cannot be part of vmlinux/,
		);
	});

	test("an object that only has its name", async () => {
		await writeFile(join(folder, "fake.c"), "int fake;");
		const { objectFor } = await import("../../src/node/index.js");
		await writeFile(join(folder, "fake.ko"), (await objectFor(join(folder, "fake.c"))).bytes);
		await expect(run("steps: [insmod: fake.ko]")).rejects.toThrow(/'fake.ko' is no module of the kernel's build/);
	});

	test("a path that is no name of a module, or a second one of that name", async () => {
		expect(() => parse("steps: [insmod: 1st.ko]")).toThrow(/'1st.ko' cannot be the module '1st'/);
		expect(() => parse("steps: [insmod: a/lp.ko, insmod: b/lp.ko]")).toThrow(/there already is another module 'lp'/);
	});

	test.each([
		["lp.ko.xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "xz", "xz -dk"],
		["lp.ko.zst", [0x28, 0xb5, 0x2f, 0xfd], "zstd", "zstd -d"],
		["lp.ko.gz", [0x1f, 0x8b], "gzip", "gunzip -k"],
		["renamed.ko", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "xz", "xz -dk"],
	])("%s: compressed; what unpacks it is said", async (name, magic, by, unpack) => {
		await writeFile(join(folder, name), Uint8Array.from([...magic, 1, 2, 3]));
		const yaml = `livepatches: { lp: { sources: [${name}] } }\nsteps: [run: 1]`;
		await expect(run(yaml)).rejects.toThrow(
			new RegExp(`${name}: compressed by ${by}\n.*'${unpack} .*${name}' unpacks it`),
		);
	});

	test("stripped of what is needed", async () => {
		const bytes = Uint8Array.from(await readFile(join(folder, "lp.ko")));
		const view = new DataView(bytes.buffer);
		const table = Number(view.getBigUint64(0x28, true));
		for (let at = table; at < bytes.length; at += 64) {
			const type = view.getUint32(at + 4, true);
			// As strip -s leaves it: neither symbols nor relocations.
			if (type === 2 || type === 4) view.setUint32(at + 4, 1, true);
		}
		await writeFile(join(folder, "stripped.ko"), bytes);
		await expect(run("steps: [insmod: stripped.ko]")).rejects.toThrow(
			/the module has no symbol table\n.*strip -g keeps it/,
		);
	});
});

test("a signature behind the file changes nothing", async () => {
	const bytes = await readFile(join(folder, "lp.ko"));
	const signature = new TextEncoder().encode("0123456789~Module signature appended~\n");
	await mkdir(join(folder, "signed"), { recursive: true });
	await writeFile(join(folder, "signed", "lp.ko"), Buffer.concat([bytes, signature]));
	await writeFile(join(folder, "signed", LAYOUT_FILE), await readFile(join(folder, LAYOUT_FILE)));
	expect(await run("steps: [insmod: signed/lp.ko, settle]")).toMatchObject({ asExpected: true });
});

test("a symbol that is not exported, or that klp-convert was to convert: a hint says so", async () => {
	const uses = (symbol: string) =>
		`long uses(long x) __asm__("\\"${symbol}\\"");\nstatic int lp_init(void) { return uses(1); }\nstatic void lp_exit(void) { }\n`;
	await writeKo(folder, "user", uses("in_target"), { livepatch: false });
	await writeKo(folder, "raw", uses(".klp.sym.vmlinux.funcA,0"), { livepatch: false });
	await writeKo(folder, "late", uses("exported"), { livepatch: false, depends: "target_mod,other" });
	const report = await run(`steps:
  - { insmod: late.ko, errno: ENOENT }
  - insmod: target_mod.ko
  - { insmod: user.ko, errno: ENOENT }
  - { insmod: raw.ko, errno: ENOENT }`);
	expect(report.failures).toEqual([]);
	expect(report.steps.map(({ hints = [] }) => hints.join())).toEqual([
		"late depends on target_mod, other: insmod: target_mod.ko comes first",
		"",
		"module 'target_mod' has 'in_target' and does not export it: EXPORT_SYMBOL_GPL(in_target) does",
		expect.stringMatching(/^'.klp.sym.vmlinux.funcA,0' is for klp-convert, or for the last step of klp-build/),
	]);
});

test("a name that the kernel refuses, because klp-convert was to convert it: a hint says so", async () => {
	const machine = await createTestMachine();
	const line = "livepatch: symbol .klp.sym.rela.vmlinux.vmlinux.f,0 has an incorrectly formatted name";
	expect(hintsFor([line], machine.it, new Map())).toEqual([
		expect.stringMatching(/^'.klp.sym.rela.*' is for klp-convert/),
	]);
	machine.close();
});

test("the example of docs/modules.md runs as it stands", async ({ skip }) => {
	if (!existsSync(KERNEL_KO)) skipBecause(skip, NO_KERNEL_CORE);
	const [, yaml] = /```yaml\n(.*?)```/s.exec(await readFile("docs/modules.md", "utf8"))!;
	const file = "docs/modules.yaml";
	expect(await runScenario(parseScenario(yaml!, file), { host: nodeHost(file) })).toMatchObject({ asExpected: true });
});

test("a host without layouts says so", async () => {
	const { kernelLayout: _none, ...host } = nodeHost(join(folder, "s.yaml"));
	await expect(runScenario(parse("steps: [insmod: lp.ko]"), { host })).rejects.toThrow(/this host has no layouts/);
	expect(KO_RELEASE).toMatch(/test/);
});
