/** What a design makes of the keys that another one has: it says so, or refuses them. */
import { expect, test } from "vitest";
import { designs, findDesign } from "../../src/designs/index.js";
import { nodeHost } from "../../src/node/index.js";
import { parseScenario, runScenario } from "../../src/scenario/index.js";

const FILE = "scenarios/keys.yaml";
const yaml = (keys: string, funcA = "lp1_funcA") => `
title: keys
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], ${keys}funcs: { funcA: ${funcA} } }
steps: [{ insmod: lp1 }]
`;

/** undefined: the design takes the livepatch as it is. */
async function refusal(design: string, keys: string, funcA?: string): Promise<string | undefined> {
	const scenario = parseScenario(yaml(keys, funcA), FILE, { designs: designs.map(({ name }) => name) });
	try {
		expect((await runScenario(scenario, { host: nodeHost(FILE), design })).asExpected).toBe(true);
		return undefined;
	} catch (error) {
		expect(error).toMatchObject({ code: "SCENARIO_FOREIGN_KEY", where: `${FILE}:5:3` });
		return (error as Error).message;
	}
}

test.each([
	[
		"replace-set-v2",
		"replace: true, ",
		/'lp1': 'replace' is no key of the design 'replace-set-v2'[\s\S]*replace_set says it there/,
	],
	["replace-set-v1", "replace: false, ", /'replace' is no key/],
	["replace-set-v1", "replaceable: true, ", /'replaceable' is no key/],
	["mainline", "replace_set: 1, ", /'replace_set' is no key of the design 'mainline'[\s\S]*replace says it there/],
	["rfc-2025", "replaceable: true, replace_set: 1, ", /'replace_set' is no key/],
	["universe", "replace_set: 1, ", /'replace_set' is no key/],
	["replace-tag-draft", "replace: true, ", /'replace' is true, and under the design 'replace-tag-draft' it is a u32/],
	["mainline", "replace: 3, ", /'replace' is 3, and under the design 'mainline' it is a bool/],
	["per-func-reject", "replaceable: true, ", /funcs: { FUNCTION: { replaceable: ... } }/],
])("%s refuses %s", async (design, keys, message) => {
	expect(await refusal(design, keys)).toMatch(message);
});

test.each([
	["replace-set-v2", "replace: true, replace_set: 1, "],
	["mainline", "replace: false, replaceable: false, replace_set: 1, "],
	["replace-tag-draft", "replace: false, replaceable: true, "],
	["conflict-replace", "replace: true, replaceable: false, replace_set: 1, "],
	["replace-set-v2", "replace: true, designs: { replace-set-v2: { replace_set: 1 } }, "],
	["per-func-reject", "replaceable: true, designs: { per-func-reject: { funcs: { funcA: { replaceable: true } } } }, "],
	["universe", ""],
])("%s takes %s", async (design, keys) => {
	expect(await refusal(design, keys)).toBeUndefined();
});

test("a key of a function", async () => {
	const funcA = "{ new_func: lp1_funcA, replaceable: true }";
	expect(await refusal("per-func-reject", "replaceable: true, ", funcA)).toBeUndefined();
	expect(await refusal("rfc-2025", "", funcA)).toContain("'funcs.replaceable' is no key of the design 'rfc-2025'");
	expect(await refusal("rfc-2025", "replaceable: true, ", funcA)).toBeUndefined();
});

test("a section says what the livepatch has under that design only", async () => {
	const scenario = parseScenario(yaml("replace_set: 1, designs: { replace-set-v2: { replace_set: 7 } }, "), FILE);
	for (const [design, value] of [
		["replace-set-v1", 1],
		["replace-set-v2", 7],
	] as const) {
		const report = await runScenario(scenario, { host: nodeHost(FILE), design });
		expect(report.steps[0]!.sysfs["lp1/replace_set"]).toBe(value);
	}
});

test("mistakes in a section", () => {
	const parse = (keys: string) => () => parseScenario(yaml(keys), FILE, { designs: designs.map(({ name }) => name) });
	expect(parse("designs: { replace-set-v3: { replace_set: 1 } }, ")).toThrow(/unknown design 'replace-set-v3'/);
	expect(parse("designs: { universe: { replace_sett: 1 } }, ")).toThrow(/unknown key 'replace_sett'/);
	expect(parse("designs: { per-func-reject: { funcs: { funcB: { replaceable: true } } } }, ")).toThrow(
		/the livepatch does not patch 'funcB'/,
	);
});

test("each design says what it makes of each key of the others", () => {
	const keys = new Set(
		designs.flatMap(({ fields, funcFields = [] }) => [
			...fields.map(({ name }) => name),
			...funcFields.map(({ name }) => `funcs.${name}`),
		]),
	);
	for (const { name, fields, funcFields = [], foreign = {} } of designs) {
		const own = [...fields.map((field) => field.name), ...funcFields.map((field) => `funcs.${field.name}`)];
		const answers = Object.values(foreign).flatMap((answer) => ("write" in answer ? [answer.write] : []));
		expect(
			[...keys].filter((key) => !own.includes(key) && !(key in foreign)),
			name,
		).toEqual([]);
		expect(
			answers.filter((key) => !own.includes(key)),
			name,
		).toEqual([]);
	}
	expect(() => findDesign("nothing")).toThrow();
});

test("the replace of a struct klp_patch in C is a key, too", async () => {
	const file = "scenarios/selftests/c.yaml";
	const text = (keys: string) => `
title: c
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]
livepatches: { c: { sources: [../../test/scenario/replaces.c], ${keys} } }
steps: [{ insmod: c }]
`;
	const run = (keys: string, design: string) =>
		runScenario(parseScenario(text(keys), file), { host: nodeHost(file), design });
	expect((await run("", "mainline")).failures).toEqual([]);
	const [failure] = (await run("", "replace-set-v2")).failures;
	expect(failure!.message).toContain("struct klp_patch of 'c': 'replace' is no key of the design 'replace-set-v2'");
	expect((await run("replace_set: 1", "replace-set-v2")).failures).toEqual([]);
});
