import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { KernelLayout } from "../../../src/linux/lib/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { parseScenario, runScenario } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";
import { KERNEL_CORE } from "../../support/skip.js";

const FLAGSHIP = "scenarios/hybrid-lp1-lp2-lp3.yaml";

describe.each(["jit", "unicorn"])("the compiled core on %s", (cpu) => {
	test("lp1, lp2, lp3 with replace: the views and messages of mainline", async ({ skip }) => {
		const core = await kernelCore(skip);
		const scenario = parseScenario(await readFile(FLAGSHIP, "utf8"), FLAGSHIP);
		const report = await runScenario(scenario, { host: nodeHost(FLAGSHIP), cpu, core });
		expect(report).toMatchObject({
			design: "mainline",
			core: core.info.release,
			verdict: "consistent",
			failures: [],
			asExpected: true,
		});
		expect(report.steps.at(-1)).toMatchObject({
			func_stacks: { funcB: ["lp3_funcB"] },
			sysfs: { "lp3/enabled": 1, "lp3/transition": 0, "lp3/replace": 1, "lp3/vmlinux/patched": 1 },
		});
		const livepatch = report.dmesg.filter((line) => line.startsWith("livepatch: ") && !line.includes("klp_try_"));
		expect(livepatch).toEqual(
			["lp1", "lp2", "lp3"].flatMap((name) => [
				`livepatch: enabling patch '${name}'`,
				`livepatch: '${name}': initializing patching transition`,
				`livepatch: '${name}': starting patching transition`,
				`livepatch: '${name}': completing patching transition`,
				`livepatch: '${name}': patching complete`,
			]),
		);
	});
});

test("a livepatch in C whose structs are not those of the core is refused by name", async ({ skip }) => {
	const core = await kernelCore(skip);
	const entries = new Map(core.layout.entries).set("klp_func.old_sympos", 24n);
	const file = "scenarios/c-livepatch.yaml";
	const scenario = parseScenario(await readFile(file, "utf8"), file);
	const other = { ...core, layout: new KernelLayout(core.layout.release, entries) };
	const report = await runScenario(scenario, { host: nodeHost(file), core: other });
	expect(report.failures[0]?.message).toContain("klp_func.old_sympos is 24, not 16");
});

test("a core that needs unknown kernel functions: one error with all their names", async ({ skip }) => {
	const core = await kernelCore(skip);
	const renamed = new Map([
		["wake_up_state", "wake_up_sstate"],
		["kstrdup", "kstrdup_new"],
	]);
	const rename = <S extends { readonly name: string }>(symbol: S): S => ({
		...symbol,
		name: renamed.get(symbol.name) ?? symbol.name,
	});
	const { object } = core;
	const sections = object.sections.map((section) => ({
		...section,
		relocations: section.relocations.map((one) => ({ ...one, symbol: rename(one.symbol) })),
	}));
	const scenario = parseScenario(await readFile(FLAGSHIP, "utf8"), FLAGSHIP);
	const options = { host: nodeHost(FLAGSHIP), core: { ...core, object: { ...object, sections } } };
	await expect(runScenario(scenario, options)).rejects.toMatchObject({
		code: "CORE_EXTERNALS",
		hint: expect.stringMatching(/^(?=.*wake_up_sstate)(?=.*kstrdup_new)/),
	});
});

describe("core: in a scenario", () => {
	const textWith = async (design: string) =>
		(await readFile(FLAGSHIP, "utf8"))
			.replace("\nseed: 1\n", `\nseed: 1\ncore: ${KERNEL_CORE}\n`)
			.replace("\ndesign: rfc-2025\n", design);
	const withCore = async () => parseScenario(await textWith("\n"), FLAGSHIP);

	test("is the machine's core", async ({ skip }) => {
		await kernelCore(skip);
		const report = await runScenario(await withCore(), { host: nodeHost(FLAGSHIP) });
		expect(report).toMatchObject({ design: "mainline", verdict: "consistent", asExpected: true });
	});

	test("beside a design in the file: an error that says why, unless it is mainline", async () => {
		const text = await textWith("\ndesign: rfc-2025\n");
		expect(() => parseScenario(text, FLAGSHIP)).toThrow(
			expect.objectContaining({
				code: "SCENARIO_CORE",
				where: expect.stringMatching(/hybrid-lp1-lp2-lp3.yaml:\d+:\d+$/),
				hint: expect.stringContaining("has its own rules"),
			}),
		);
		expect(parseScenario(await textWith("\ndesign: mainline\n"), FLAGSHIP).design).toBe("mainline");
	});

	test("with --design: an error that says why", async ({ skip }) => {
		await kernelCore(skip);
		const options = { host: nodeHost(FLAGSHIP), design: "universe" };
		await expect(runScenario(await withCore(), options)).rejects.toMatchObject({
			code: "SCENARIO_CORE",
			where: expect.stringContaining(FLAGSHIP),
		});
	});
});
