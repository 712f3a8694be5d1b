/** Ops, CPUs, sysctl and signals in scenarios: what is refused and how it is said, and what failing expectations look like. */
import { describe, expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { nodeHost } from "../../src/node/index.js";
import { describeStep, parseScenario } from "../../src/scenario/index.js";
import { runScenario } from "../../src/scenario/run.js";

const scenario = (ops: string, steps: string) => `title: t
cpus: 2
vmlinux: [asm/vmlinux/funcs.c]
modules: { tracers: { sources: [asm/modules/tracers.c] } }
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
ftrace_ops: ${ops}
tasks: { worker: { calls: [untraced] } }
steps: ${steps}
`;

function refusal(ops: string, steps = "[{ register: probe }]"): string {
	try {
		parseScenario(scenario(ops, steps), "s.yaml");
	} catch (error) {
		if (error instanceof KlpemuError) return `${error.code} ${error.format()}`;
		throw error;
	}
	throw new Error("was accepted");
}

async function failures(ops: string, steps: string): Promise<string[]> {
	const file = "scenarios/test.yaml";
	const report = await runScenario(parseScenario(scenario(ops, steps), file), { host: nodeHost(file) });
	return report.failures.map(({ step, message }) => `${step}: ${message}`);
}

describe("refused", () => {
	test.each([
		["{ probe: { func: a, ip: b } }", "SCENARIO_BAD_VALUE", "'probe' has both func and ip"],
		["{ probe: { funcs: [funcA], shared: a } }", "SCENARIO_BAD_VALUE", "no direct function to take the place of"],
		["{ probe: { direct: a, flags: [IPMODIFY] } }", "SCENARIO_BAD_VALUE", "sets the flags of 'probe' itself"],
		["{ probe: { flags: [IPMODIF] } }", "SCENARIO_BAD_VALUE", "IPMODIFY"],
		["{ prob: {} }", "SCENARIO_UNKNOWN_OPS", "unknown ops 'probe'"],
	])("%s: %s", (ops, code, words) => {
		const text = refusal(ops);
		expect(text).toContain(code);
		expect(text).toContain(words);
	});
	test("calls of a function of the guest cannot be expected: they are not counted", () => {
		const text = refusal(
			"{ probe: { func: tracer_func } }",
			"[{ register: probe }, { expect: { calls: { probe: 1 } } }]",
		);
		expect(text).toMatch(/^SCENARIO_EXPECT s\.yaml:8:\d+: calls of 'probe' are made in the guest/);
	});
	test("a sysctl without a value, a CPU that is no number", () => {
		expect(refusal("{ probe: {} }", "[{ sysctl: kernel.ftrace_enabled }]")).toContain("NAME=VALUE");
		expect(refusal("{ probe: {} }", "[{ cpu_down: one }]")).toContain("a whole number from 0 to 63");
	});
	test("interruptible where nothing sleeps", () => {
		const text = scenario("{ probe: {} }", "[settle]").replace("[untraced]", "[untraced], interruptible: true");
		expect(() => parseScenario(text, "s.yaml")).toThrow(/'worker' sleeps nowhere/);
	});
});

describe("failing", () => {
	test("a function without a fentry site, and one in a module that is not there yet", async () => {
		expect(await failures("{ probe: { funcs: [untraced] } }", "[{ register: probe }]")).toEqual([
			"1: 'probe': function 'untraced' has no fentry site (only functions that are compiled with -mfentry have one)",
		]);
		expect(await failures("{ probe: { funcs: [funcA], func: tracer_func } }", "[{ register: probe }]")).toEqual([
			"1: function 'tracer_func' is in a module that is not loaded yet",
		]);
	});
	test("errnos, calls and the trace", async () => {
		const steps = `
  - register: probe
  - register: probe
  - unregister: probe
  - unregister: probe
  - cpu_down: 1
  - cpu_down: 7
  - sysctl: kernel.nothing=1
  - call: { task: worker, func: funcA }
  - expect: { calls: { probe: 2 }, trace: [funcA] }`;
		expect(await failures("{ probe: { funcs: [funcA] } }", steps)).toEqual([
			"2: the result is -EBUSY, not success",
			"4: the result is -EINVAL, not success",
			"6: the result is -EINVAL, not success",
			"7: the result is -ENOENT, not success",
			"9: probe was called 0 times, not 2",
			"9: the trace lacks (or has in another order): funcA",
		]);
	});
});

test("[rule 6.17] modify_ftrace_direct(): the site calls the other function, and a wrong ops is refused", async () => {
	const steps = (value: string) => `
  - insmod: tracers
  - register: straight
  - modify: { ops: straight, direct: direct_tramp_orig }
  - cat: { path: /sys/kernel/tracing/enabled_functions, value: "${value}" }
  - call: { task: worker, func: funcA, value: 3104 }
  - unregister: straight
  - modify: { ops: straight, direct: direct_tramp }`;
	const [read, last, ...more] = await failures("{ straight: { funcs: [funcA], direct: direct_tramp } }", steps("x"));
	expect(read).toContain("direct-->direct_tramp_orig+0x0/");
	expect([last, more]).toEqual(["7: the result is -EINVAL, not success", []]);
	expect(refusal("{ probe: {} }", "[{ modify: { ops: probe, direct: direct_tramp } }]")).toContain(
		"'probe' calls no direct function",
	);
});

test("in words", () => {
	const steps = "[{ register: probe }, { unregister: probe }, { cpu_up: 1 }, { sysctl: kernel.ftrace_enabled=0 }]";
	expect(parseScenario(scenario("{ probe: {} }", steps), "s.yaml").steps.map(describeStep)).toEqual([
		"register probe",
		"unregister probe",
		"cpu_up 1",
		"sysctl kernel.ftrace_enabled=0",
	]);
});
