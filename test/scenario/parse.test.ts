import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
	checkFunctions,
	describeStep,
	expectedErrno,
	expectedVerdict,
	parseScenario,
	type Scenario,
} from "../../src/scenario/index.js";

function scenario(steps: string, more = ""): Scenario {
	return parseScenario(
		`title: t
vmlinux: [a.c]
livepatches:
  lp1: { sources: [lp1.c], funcs: { funcA: lp1_funcA, "funcB#2": { new_func: lp1_funcB, replaceable: true } } }
tasks:
  worker: { count: 2, calls: [funcA, funcB] }
  U: { idle: true }
${more}steps:
${steps
	.split("\n")
	.map((line) => `  - ${line}`)
	.join("\n")}
`,
		"s.yaml",
	);
}

describe("defaults and short forms", () => {
	test("defaults", () => {
		const { fileName, design, cpu, cpus, seed, hz, ibt, memory, source } = scenario("settle");
		expect({ fileName, design, cpu, cpus, seed, hz, ibt, memory, source }).toEqual({
			fileName: "s.yaml",
			design: "mainline",
			cpu: undefined,
			cpus: 2,
			seed: 1n,
			hz: 250,
			ibt: false,
			memory: 64 << 20,
			source: undefined,
		});
	});

	test("funcs is objects.vmlinux, and #2 a sympos", () => {
		expect(scenario("settle").livepatches.get("lp1")).toMatchObject({
			fields: {},
			objects: [
				{
					name: "vmlinux",
					funcs: [
						{ old_name: "funcA", new_func: "lp1_funcA", sympos: 0, fields: {} },
						{ old_name: "funcB", new_func: "lp1_funcB", sympos: 2, fields: { replaceable: true } },
					],
				},
			],
		});
	});

	test("the long form, with a module", () => {
		const text = `modules: { mod1: { sources: [m.c] } }
`;
		const { livepatches, modules } = parseScenario(
			`title: t
vmlinux: [a.c]
${text}livepatches:
  lp1: { sources: [x.o], replace_set: 7, objects: { vmlinux: { a: b }, mod1: { c: d } }, states: [{ id: 1, version: 2 }] }
tasks: {}
steps: [insmod: mod1]
`,
			"s.yaml",
		);
		expect([...modules.keys()]).toEqual(["mod1"]);
		const lp1 = livepatches.get("lp1")!;
		expect(lp1.objects.map(({ name, funcs }) => [name, funcs[0]!.old_name])).toEqual([
			["vmlinux", "a"],
			["mod1", "c"],
		]);
		expect([lp1.fields.replace_set, lp1.states]).toEqual([7, [{ id: 1, version: 2 }]]);
	});

	test("count makes numbered tasks; a step that names the group means them all", () => {
		const { tasks, steps } = scenario("wake: worker\nwake: [worker/1, U]");
		expect([...tasks.keys()]).toEqual(["worker/0", "worker/1", "U"]);
		expect(steps).toMatchObject([{ tasks: ["worker/0", "worker/1"] }, { tasks: ["worker/1", "U"] }]);
	});

	test("seeds keep all 64 bits", () => {
		expect(scenario("settle", "seed: 18446744073709551615\n").seed).toBe(0xffff_ffff_ffff_ffffn);
		expect(scenario("settle", "seed: 0xfedcba9876543210\n").seed).toBe(0xfedc_ba98_7654_3210n);
	});

	test("verdicts, plain and by design", () => {
		const plain = scenario("settle", "expect: violated\n");
		expect([expectedVerdict(plain, "mainline"), expectedVerdict(plain, "x")]).toEqual(["violated", "violated"]);
		const byDesign = scenario("settle", "expect: { mainline: violated }\n");
		expect([expectedVerdict(byDesign, "mainline"), expectedVerdict(byDesign, "x")]).toEqual(["violated", undefined]);
		expect(expectedVerdict(scenario("settle"), "mainline")).toBe("consistent");
	});
});

describe("steps", () => {
	test("all kinds", () => {
		const { steps } = scenario(`insmod: lp1
insmod: { module: lp1, params: { debug: true, level: 3 } }
rmmod: lp1
settle
settle: { rounds: 5 }
run: 1
run: 50
run: { task: worker/0 }
run: { rounds: 7 }
sleep: 2.5
disable: lp1
enable: lp1
reverse
reverse: lp1
force
force: lp1
echo: { path: lp1/enabled, value: 0 }
echo: { path: /proc/sys/kernel/ftrace_enabled, value: true }
cat: lp1/enabled
cat: { path: lp1/transition, value: 1 }
wake: U
fork: { parent: U, child: F, kthread: true, calls: [funcA], sleeps_in: funcA }
exit: F
call: { task: U, func: funcA, value: -1 }
state: here
expect: { task: U, in: null, pending: 0, sysfs: { lp1/enabled: null }, func_stacks: { funcA: [nop, lp1_funcA] } }
expect: { design: universe, dmesg: [a, b], task: worker, view: { funcA: original } }`);
		expect(steps.map(describeStep)).toMatchInlineSnapshot(`
			[
			  "insmod lp1",
			  "insmod lp1 debug=1 level=3",
			  "rmmod lp1",
			  "settle",
			  "settle",
			  "run 1 round",
			  "run 50 rounds",
			  "run worker/0 until asleep",
			  "run 7 rounds",
			  "sleep 2.5",
			  "disable lp1",
			  "enable lp1",
			  "reverse",
			  "reverse lp1",
			  "force",
			  "force lp1",
			  "echo 0 > /sys/kernel/livepatch/lp1/enabled",
			  "echo 1 > /proc/sys/kernel/ftrace_enabled",
			  "cat /sys/kernel/livepatch/lp1/enabled",
			  "cat /sys/kernel/livepatch/lp1/transition",
			  "wake U",
			  "fork F from U",
			  "exit F",
			  "call funcA in U",
			  "state: here",
			  "expect U: not pending, in no patched function, no lp1/enabled, funcA [nop, lp1_funcA]",
			  "expect worker/0, worker/1: funcA -> original, dmesg, 2 lines (universe)",
			]
		`);
	});

	test("short forms mean the same as long ones", () => {
		const [first, second] = scenario("insmod: lp1\ninsmod: { module: lp1 }").steps;
		expect({ ...first!, position: 0 }).toEqual({ ...second!, position: 0 });
	});

	test("errno: beside the step, in echo, and in the expect after it", () => {
		const { steps } = scenario(`{ rmmod: lp1, errno: EAGAIN }
echo: { path: lp1/enabled, value: 1, errno: -22 }
insmod: lp1
expect: { errno: -EBUSY }
insmod: lp1
expect: { design: universe, errno: EINVAL }`);
		expect(steps.map((step) => step.errno)).toEqual([-11, -22, -16, 0, 0, 0]);
		expect([expectedErrno(steps[4]!, "universe"), expectedErrno(steps[4]!, "mainline")]).toEqual([-22, 0]);
	});

	test("positions of steps, livepatches and tasks", () => {
		const parsed = scenario("settle\ninsmod: lp1");
		expect(parsed.steps.map((step) => step.position)).toEqual([
			{ line: 9, column: 5 },
			{ line: 10, column: 5 },
		]);
		expect(parsed.livepatches.get("lp1")!.position).toEqual({ line: 4, column: 3 });
		expect(parsed.tasks.get("worker/1")!.position).toEqual({ line: 6, column: 3 });
		expect(parsed.livepatches.get("lp1")!.objects[0]!.funcs[0]!.position).toEqual({ line: 4, column: 37 });
	});
});

describe("functions", () => {
	const kernel = new Set(["funcA", "funcB"]);
	const livepatches = new Map([["lp1", new Set(["lp1_funcA", "lp1_funcB"])]]);

	const noFiles = { find: async () => undefined, candidates: () => [], read: async () => undefined };

	test("known ones pass", () => checkFunctions(scenario("settle"), { kernel, livepatches }, noFiles));
	test("unknown ones are named with their place", async () => {
		const parsed = scenario("expect: { task: U, view: { funkA: original } }");
		await expect(checkFunctions(parsed, { kernel, livepatches }, noFiles)).rejects.toThrow(
			expect.objectContaining({
				code: "SCENARIO_UNKNOWN_FUNC",
				where: "s.yaml:9:32",
				reason: "unknown function 'funkA'",
				hint: "did you mean 'funcA'? functions: funcA, funcB",
			}),
		);
	});
	test("a replacement must be in the livepatch's own objects", async () => {
		const only = new Map([["lp1", new Set(["lp1_funcA"])]]);
		await expect(checkFunctions(scenario("settle"), { kernel, livepatches: only }, noFiles)).rejects.toThrow(
			expect.objectContaining({ where: "s.yaml:4:78", reason: "unknown function 'lp1_funcB' of the livepatch 'lp1'" }),
		);
	});
});

test.each(readdirSync("scenarios").filter((name) => name.endsWith(".yaml")))("scenarios/%s is valid", (name) => {
	const parsed = parseScenario(readFileSync(`scenarios/${name}`, "utf8"), `scenarios/${name}`);
	expect(parsed.steps.length).toBeGreaterThan(2);
	// Everything that moves in the scenario is looked at.
	expect(parsed.steps.some((step) => step.kind === "expect")).toBe(true);
});

test("race: lists of steps, and tasks that fork and exit by themselves", () => {
	const scenario = parseScenario(
		[
			"title: t",
			"preemption: full",
			"vmlinux: [asm/vmlinux/funcs.c]",
			"livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }",
			"tasks: { worker: { calls: [funcA], fork: true, exit: true } }",
			"steps: [{ race: [[{ insmod: lp1 }, reverse], [{ echo: { path: lp1/enabled, value: 0 } }]] }]",
		].join("\n"),
		"s.yaml",
	);
	expect(scenario.preemption).toBe("full");
	expect(scenario.tasks.get("worker")).toMatchObject({ fork: true, exit: true });
	const [race] = scenario.steps;
	expect(race).toMatchObject({
		kind: "race",
		actors: [[{ kind: "insmod", module: "lp1" }, { kind: "reverse" }], [{ kind: "echo", value: "0" }]],
	});
});
