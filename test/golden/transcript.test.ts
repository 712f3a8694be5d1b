import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Report, ReportStep } from "../../src/report/index.js";
import { describeStep, parseScenario } from "../../src/scenario/index.js";
import { compareState, recordedDmesg, recordedResults, reportDmesg, reportResults, stepOf } from "./compare.js";
import { loadTranscript, recording, SELFTESTS, selftestTranscript, statesOf, TRANSCRIPTS } from "./load.js";
import { parseTranscript } from "./transcript.js";

function scenarioOf(name: (typeof TRANSCRIPTS)[number]) {
	const file = `scenarios/${name}.yaml`;
	return parseScenario(readFileSync(file, "utf8"), file);
}

describe.each(TRANSCRIPTS)("%s", (name) => {
	const events = loadTranscript(name);

	test("its scenario has each recorded state, in order", () => {
		const marks = scenarioOf(name).steps.flatMap((step) => (step.kind === "state" ? [step.title] : []));
		expect(marks).toEqual(statesOf(events).map((state) => state.title));
	});

	test("its scenario has each command on a livepatch, in order, and expects its recorded result", () => {
		const commands = scenarioOf(name).steps.filter((step) => ["insmod", "rmmod", "echo"].includes(step.kind));
		expect(commands.map((step) => `${describeStep(step)} ${step.errno}`)).toEqual(recordedResults(events));
	});
});

test("numbers of what was recorded", () => {
	const counts = TRANSCRIPTS.map((name) => {
		const events = loadTranscript(name);
		return [statesOf(events).length, recordedResults(events).length, recordedDmesg(events).length];
	});
	expect(counts).toMatchInlineSnapshot(`
		[
		  [
		    14,
		    11,
		    19,
		  ],
		  [
		    8,
		    9,
		    23,
		  ],
		]
	`);
});

describe("parsing", () => {
	test("a state", () => {
		const text = `[    1.0] ### --- STATE: t (x)
[    1.0] ###     /sys/kernel/livepatch/lp3: enabled=1 transition=1 replace=1 refcnt=2 tgt{patched=1: funcA,1 funcB,2}
[    1.0] ###     task IA       pid=81   holdA   in=orig funcA         patch_state= 1 pending=0 funcA=orig funcB=lp3
[    1.0] ###     /proc/PID/patch_state: shell(1)=1 H(76)=0 U(58)=-1
[    1.0] ###     ftrace funcA [tgt] (2)   I     M 	tramp: 0x1
[    1.0] livepatch: 'x': patching complete
[    1.0] livepatch: oracle: push
[    1.0] ### $ rmmod lp3
[    1.0] ###    rmmod: ERROR: Module lp3 is in use
[    1.0] ###    rc=1
`;
		expect(parseTranscript(text)).toEqual([
			{
				kind: "state",
				title: "t (x)",
				sysfs: {
					"lp3/enabled": 1,
					"lp3/transition": 1,
					"lp3/replace": 1,
					"lp3/tgt/patched": 1,
					"lp3/tgt/funcA,1": 1,
					"lp3/tgt/funcB,2": 1,
				},
				refcnt: { lp3: 2 },
				tasks: {
					IA: { in: "funcA", patch_state: "PATCHED", pending: false, view: { funcA: "original", funcB: "lp3_funcB" } },
				},
				patch_states: { shell: 1, H: 0, U: -1 },
				ftrace: { funcA: 2 },
			},
			{ kind: "dmesg", line: "livepatch: 'x': patching complete" },
			{ kind: "command", command: "rmmod lp3", rc: 1, output: ["rmmod: ERROR: Module lp3 is in use"] },
		]);
	});

	test("a line that it does not understand is an error", () => {
		expect(() => parseTranscript("### --- STATE: t\n###     tusk U\n")).toThrow("not a line of a state: tusk U");
		expect(() => parseTranscript("### what\n")).toThrow("neither in a state nor in a command");
	});
});

describe("comparing", () => {
	const state = statesOf(loadTranscript("rfc-petr")).find((each) => each.title === "lp3 transition held by H")!;
	const lp = (enabled: number, transition: number, replace: number, replaceable: number) => ({
		enabled,
		transition,
		replace,
		replaceable,
		"vmlinux/patched": 1,
	});
	const patches = { lp1: lp(1, 0, 0, 0), lp2: lp(1, 0, 0, 1), lp3: lp(1, 1, 1, 1) };
	const patched = {
		patch_state: "PATCHED",
		pending: false,
		in: null,
		view: { funcA: "original", funcB: "lp3_funcB", other: "original" },
	} as const;
	const held = {
		patch_state: "UNPATCHED",
		pending: true,
		in: "lp2_funcB",
		view: { funcA: "lp2_funcA", funcB: "lp2_funcB" },
	} as const;
	const step: ReportStep = {
		index: 1,
		action: `state: ${state.title}`,
		errno: 0,
		tasks: { reader: patched, U: patched, K: patched, uloop: patched, H: held },
		sysfs: Object.fromEntries(
			Object.entries(patches).flatMap(([name, files]) =>
				Object.entries(files).map(([file, value]) => [`${name}/${file}`, value]),
			),
		),
		func_stacks: { funcA: ["nop", "lp2_funcA", "lp1_funcA"], funcB: ["lp3_funcB", "lp2_funcB"] },
		dmesg: [],
	};

	test("the same state", () => {
		expect(compareState(step, state)).toEqual([]);
	});

	test("each kind of difference is found", () => {
		const { H, ...withoutH } = step.tasks;
		const found = (change: Partial<ReportStep>) => compareState({ ...step, ...change }, state);
		expect({
			view: found({ tasks: { ...step.tasks, U: { ...patched, view: { funcA: "lp1_funcA", funcB: "lp3_funcB" } } } }),
			in: found({ tasks: { ...withoutH, H: { ...H!, in: null } } }),
			gone: found({ tasks: withoutH }),
			uloop: found({ tasks: { ...step.tasks, uloop: held } }),
			value: found({ sysfs: { ...step.sysfs, "lp3/transition": 0 } }),
			extra: found({ sysfs: { ...step.sysfs, "lp4/enabled": 1 } }),
			ftrace: found({ func_stacks: { funcA: ["nop"] } }),
		}).toMatchInlineSnapshot(`
			{
			  "extra": [
			    "livepatches in sysfs: here ["lp1","lp2","lp3","lp4"], recorded ["lp1","lp2","lp3"]",
			  ],
			  "ftrace": [
			    "functions with an ftrace_ops: here ["funcA"], recorded ["funcA","funcB"]",
			  ],
			  "gone": [
			    "task H: here undefined, recorded {"in":"lp2_funcB","patch_state":"UNPATCHED","pending":true,"view":{"funcA":"lp2_funcA","funcB":"lp2_funcB"}}",
			    "patch_state of H: here undefined, recorded 0",
			  ],
			  "in": [
			    "task H: here {"patch_state":"UNPATCHED","pending":true,"in":null,"view":{"funcA":"lp2_funcA","funcB":"lp2_funcB"}}, recorded {"in":"lp2_funcB","patch_state":"UNPATCHED","pending":true,"view":{"funcA":"lp2_funcA","funcB":"lp2_funcB"}}",
			  ],
			  "uloop": [
			    "patch_state of uloop: here 0, recorded 1",
			  ],
			  "value": [
			    "lp3/transition: here 0, recorded 1",
			  ],
			  "view": [
			    "task U: here {"patch_state":"PATCHED","pending":false,"in":null,"view":{"funcA":"lp1_funcA","funcB":"lp3_funcB"}}, recorded {"in":null,"patch_state":"PATCHED","pending":false,"view":{"funcA":"original","funcB":"lp3_funcB"}}",
			  ],
			}
		`);
	});

	test("dmesg and results of a report, without what depends on timing", () => {
		const report: Report = {
			schema: 1,
			scenario: "t",
			design: "mainline",
			cpu: "jit",
			seed: 1,
			preemption: "none",
			verdict: "consistent",
			asExpected: true,
			violations: [],
			failures: [],
			steps: [step, { ...step, action: "insmod lp4", errno: -16 }, { ...step, action: "echo 0 > /sys/x" }],
			dmesg: [
				"livepatch: 'lp1': patching complete",
				"livepatch: klp_try_switch_task: H:7 is sleeping on function funcB",
				"lp1: tainting kernel",
			],
		};
		expect(reportDmesg(report)).toEqual(["livepatch: 'lp1': patching complete"]);
		expect(reportResults(report)).toEqual(["insmod lp4 -16", "echo 0 > /sys/x 0"]);
		expect(stepOf(report, state.title)).toBe(step);
	});
});

test.each(SELFTESTS)("selftest %s: the expected dmesg is what was recorded", (name) => {
	const expected = readFileSync(`scenarios/selftests/test-${name}.dmesg`, "utf8");
	expect(expected).toBe(selftestTranscript(recording(`selftest-${name}`)));
});
