/** The kernel's own selftests: its modules, its scripts as scenarios, its dmesg. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { runCli } from "../../src/node/cli/index.js";
import { CPU_NAMES, nodeHost } from "../../src/node/index.js";
import { unifiedDiff } from "../../src/report/index.js";
import { parseScenario } from "../../src/scenario/index.js";
import { runScenario } from "../../src/scenario/run.js";
import { longTest, sample } from "../support/sample.js";
import { KERNEL_KO, KERNEL_MODULES, NO_KERNEL_CORE, NO_KERNEL_MODULES, skipBecause } from "../support/skip.js";

const FOLDER = "scenarios/selftests";
/** Of tools/testing/selftests/livepatch in 6.12: seven scripts, 25 tests. */
const SCRIPTS = { callbacks: 11, ftrace: 1, livepatch: 3, "shadow-vars": 1, state: 4, syscall: 1, sysfs: 4 };

async function selftest(...argv: string[]) {
	let stdout = "";
	let stderr = "";
	const status = await runCli(["selftest", ...argv], {
		stdin: Readable.from([]),
		stdout: { write: (text: string) => (stdout += text) },
		stderr: { write: (text: string) => (stderr += text) },
		env: {},
	});
	return { status, stdout, stderr };
}

/** Runs a script with its YAML or its transcript changed. */
async function changed(script: string, edit: { yaml?: [string, string]; dmesg?: [string, string] }) {
	const file = `${FOLDER}/test-${script}.yaml`;
	const apply = (text: string, pair: [string, string] | undefined) => {
		if (pair === undefined) return text;
		expect(text).toContain(pair[0]);
		return text.replace(...pair);
	};
	const host = nodeHost(file);
	const { files } = host;
	return runScenario(parseScenario(apply(readFileSync(file, "utf8"), edit.yaml), file), {
		host: {
			...host,
			files: {
				find: (path) => files.find(path),
				candidates: (path) => files.candidates(path),
				read: async (path) => {
					const bytes = await files.read(path);
					return bytes && path.endsWith(".dmesg")
						? new TextEncoder().encode(apply(new TextDecoder().decode(bytes), edit.dmesg))
						: bytes;
				},
			},
		},
	});
}

describe.runIf(existsSync(KERNEL_MODULES))("with the kernel's modules", () => {
	// The reference: the test below is made on jit.
	test.each(sample([...CPU_NAMES].reverse(), 2))("all 25 tests are ok on %s, in KTAP", async (cpu) => {
		const { status, stdout, stderr } = await selftest("--cpu", cpu);
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		expect(stdout).not.toContain("not ok");
		const lines = stdout.split("\n");
		expect(lines.slice(0, 4)).toEqual(["KTAP version 1", "1..7", "    KTAP version 1", "    1..11"]);
		for (const [index, [script, tests]] of Object.entries(SCRIPTS).entries()) {
			const end = lines.indexOf(`ok ${index + 1} test-${script}.sh`);
			const start = lines.lastIndexOf(`    1..${tests}`, end);
			expect(lines.slice(start + 1, end).filter((line) => line.startsWith("    ok "))).toHaveLength(tests);
		}
		expect(lines).toContain("# Totals: pass:25 fail:0");
		expect(stdout).toContain("# not run: ");
	});

	longTest("under universe all are ok too; under rfc-2025 five tests that rely on replacing are not", async () => {
		expect((await selftest("--design", "universe")).stdout).toContain("# Totals: pass:25 fail:0");
		const { status, stdout } = await selftest("--design", "rfc-2025");
		expect(status).toBe(1);
		expect([...stdout.matchAll(/^ {4}not ok \d+ (.*)$/gm)].map(([, title]) => title)).toEqual([
			"atomic replace",
			"atomic replace livepatch",
			"taking over system state modification",
			"compatible cumulative livepatches",
			"incompatible cumulative livepatches",
		]);
	});

	test("a filter picks scripts and tests; one that fits nothing is an error", async () => {
		const { stdout } = await selftest("busy target");
		expect(stdout).toContain("    ok 1 busy target module\nok 1 test-callbacks.sh\n");
		expect(stdout).toContain("# Totals: pass:1 fail:0");
		expect(await selftest("no such test")).toMatchObject({ status: 2, stdout: "" });
	});

	test("another dmesg than the kernel's is a failure, with a unified diff", async () => {
		const report = await changed("ftrace", {
			dmesg: ["livepatch: kernel.ftrace_enabled = 1\n% insmod", "livepatch: something else\n% insmod"],
		});
		expect(report.asExpected).toBe(false);
		expect(report.tests![0]!.ok).toBe(false);
		expect(report.tests![0]!.diff).toContain("-livepatch: something else\n+livepatch: kernel.ftrace_enabled = 1\n");
	});

	test("a wrong value or wrong rights are a failure of their test, not of its neighbours", async () => {
		const value = await changed("sysfs", {
			yaml: ["test_klp_callbacks_mod/patched, value: 1", "test_klp_callbacks_mod/patched, value: 0"],
		});
		expect(value.tests!.map(({ ok }) => ok)).toEqual([true, false, true, true]);
		expect(value.failures[0]!.message).toContain("holds '1', not '0'");
		const rights = await changed("sysfs", { yaml: ["rights: --w-------", "rights: -rw-------"] });
		expect(rights.tests!.map(({ ok }) => ok)).toEqual([false, true, true, true]);
	});

	test("a test that the transcript does not have fails", async () => {
		const report = await changed("shadow-vars", { yaml: ["test: basic shadow", "test: other shadow"] });
		expect(report.tests![0]!.ok).toBe(false);
	});

	test("other parameters, other messages: the callback's errno refuses the module", async () => {
		const report = await changed("callbacks", { yaml: ["pre_patch_ret: -19 }", "pre_patch_ret: -16 }"] });
		expect(report.tests!.filter(({ ok }) => !ok).map(({ title }) => title)).toEqual(["pre-patch callback -ENODEV"]);
		expect(report.tests!.find(({ ok }) => !ok)!.diff).toContain(
			"+insmod: ERROR: could not insert module test_modules/test_klp_callbacks_demo.ko: Device or resource busy",
		);
	});
});

describe.runIf(existsSync(KERNEL_KO))("with the .ko files of the kernel's own build", () => {
	test.each(sample(CPU_NAMES, 2))("all 25 tests are ok on %s", async (cpu) => {
		const { status, stdout, stderr } = await selftest("--modules", KERNEL_KO, "--cpu", cpu);
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		expect(stdout.split("\n")).toContain("# Totals: pass:25 fail:0");
	});
});

test("the .ko files of the kernel's own build are there", ({ skip }) => {
	if (!existsSync(KERNEL_KO)) skipBecause(skip, NO_KERNEL_CORE);
	expect(readdirSync(KERNEL_KO).filter((name) => name.endsWith(".ko"))).toHaveLength(18);
});

test("--modules names a folder that has all of them", async () => {
	expect(await selftest("--modules", "no/such/folder")).toMatchObject({
		status: 2,
		stderr: expect.stringContaining("there is no folder 'no/such/folder'"),
	});
	expect(await selftest("--modules", "scenarios")).toMatchObject({
		status: 2,
		stderr: expect.stringMatching(/'scenarios' has no module test_klp_\w+ \(.ko or .o\)/),
	});
});

test("the kernel's modules are there", ({ skip }) => {
	if (!existsSync(KERNEL_MODULES)) skipBecause(skip, NO_KERNEL_MODULES);
	expect(readdirSync(KERNEL_MODULES).length).toBe(18);
});

test("unifiedDiff is what diff -u prints", () => {
	const a = [..."abcdefghijklmnop"];
	const b = [..."abcXefghijklmnoYp"];
	expect(unifiedDiff(a, b, { a: "old", b: "new" })).toMatchInlineSnapshot(`
		"--- old
		+++ new
		@@ -1,7 +1,7 @@
		 a
		 b
		 c
		-d
		+X
		 e
		 f
		 g
		@@ -13,4 +13,5 @@
		 m
		 n
		 o
		+Y
		 p"
	`);
	expect(unifiedDiff(a, a, { a: "", b: "" })).toBeUndefined();
	expect(unifiedDiff([], ["x"], { a: "old", b: "new" })).toBe("--- old\n+++ new\n@@ -0,0 +1 @@\n+x");
});
