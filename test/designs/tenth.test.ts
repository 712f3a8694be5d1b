/** A design with fields of its own is one object: nothing else knows of them. */
import { expect, test } from "vitest";
import { designs } from "../../src/designs/index.js";
import { mainline } from "../../src/designs/mainline.js";
import { bool, type Design, type klp_patch, u32 } from "../../src/linux/klp/index.js";
import { EPERM } from "../../src/linux/lib/index.js";
import { nodeHost } from "../../src/node/index.js";
import { parseScenario, runScenario } from "../../src/scenario/index.js";

const generation = u32("generation", 1, "patches of older generations go");
const locked = bool("locked", false, "no later patch may change this function");

const owns = ({ objs }: klp_patch, name: string) =>
	objs.some(({ funcs }) => funcs.some((func) => func.old_name === name));

const tenth: Design = {
	...mainline,
	name: "tenth",
	title: "a patch replaces those of older generations",
	source: "this test",
	fields: [generation],
	funcFields: [locked],
	attributes: { generation: { show: (patch) => String(generation.of(patch)) } },
	isCompatible(klp, patch) {
		const taken = klp.klp_patches.flatMap((old) => [...old.funcs()].filter((func) => locked.of(func)));
		return taken.some((func) => owns(patch, func.old_name)) ? -EPERM : 0;
	},
	replacesOnCompletion: () => true,
	supersedes: (patch, old) => generation.of(old) < generation.of(patch),
};

const registry = [...designs, tenth];
const FILE = "scenarios/tenth.yaml";
const YAML = `
title: generations
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
  lp2: { sources: [asm/livepatches/lp2.c], generation: 2, funcs: { funcA: { new_func: lp2_funcA, locked: true } } }
  lp3: { sources: [asm/livepatches/lp3.c], generation: 3, funcs: { funcA: lp3_funcB } }
tasks: { worker: { calls: [funcA] } }
steps: [{ insmod: lp1 }, settle, { insmod: lp2 }, settle, { insmod: lp3, errno: -1 }]
`;

test("a scenario gives the fields of a design that is in no registry", async () => {
	const scenario = parseScenario(YAML, FILE, { registry });
	const report = await runScenario(scenario, { host: nodeHost(FILE), design: tenth });
	expect([report.design, report.verdict, report.failures]).toEqual(["tenth", "consistent", []]);
	const { sysfs, func_stacks } = report.steps.at(-1)!;
	expect([sysfs["lp2/generation"], sysfs["lp1/enabled"]]).toEqual([2, undefined]);
	expect(func_stacks).toEqual({ funcA: ["lp2_funcA"] });
});

test("another design refuses the field, unless the livepatch says what it has there", async () => {
	const yaml = YAML.replace(", errno: -1", "");
	const run = (text: string) =>
		runScenario(parseScenario(text, FILE, { registry }), { host: nodeHost(FILE), design: "mainline" });
	await expect(run(yaml)).rejects.toMatchObject({
		code: "SCENARIO_FOREIGN_KEY",
		reason: "livepatch 'lp2': 'generation' is no key of the design 'mainline'",
		where: `${FILE}:6:3`,
	});
	const report = await run(yaml.replace(/generation: \d/g, "designs: { mainline: { replace: false } }, $&"));
	expect(report.steps.at(-1)!.func_stacks).toMatchObject({ funcA: expect.arrayContaining(["lp1_funcA", "lp3_funcB"]) });
});

test("without the design, its field is an unknown key", () => {
	expect(() => parseScenario(YAML, FILE)).toThrow(/unknown key 'generation'/);
	const wrong = YAML.replace("generation: 2", "generation: true");
	expect(() => parseScenario(wrong, FILE, { registry })).toThrow(/must be a whole number/);
});
