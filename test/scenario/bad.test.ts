import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { parseScenario } from "../../src/scenario/index.js";
import { LONG } from "../support/sample.js";

/** A valid scenario; each case below breaks one thing in it. */
const GOOD = `title: t
design: mainline
cpus: 2
vmlinux: [a.c]
livepatches:
  lp1: { sources: [lp1.c], replace: false, funcs: { funcA: lp1_funcA } }
tasks:
  worker: { count: 2, calls: [funcA] }
  sleeper: { calls: [funcA], sleeps_in: funcA }
steps:
  - insmod: lp1
  - settle
  - expect: { task: worker/0, patch_state: IDLE }
expect: consistent
`;

function refusal(text: string): string {
	try {
		parseScenario(text, "s.yaml", { designs: ["mainline", "rfc-2025", "universe"] });
	} catch (error) {
		if (error instanceof KlpemuError) return `${error.code}\n${error.format()}`;
		throw error;
	}
	throw new Error("was accepted");
}

function broken(from: string, to: string): string {
	expect(GOOD.split(from).length, `'${from}' occurs once`).toBe(2);
	return refusal(GOOD.replace(from, to));
}

test("the scenario that the cases break is a good one", () => {
	expect(parseScenario(GOOD, "s.yaml").steps).toHaveLength(3);
});

describe("keys", () => {
	test("unknown at the top", () => {
		expect(broken("cpus: 2", "cpu_count: 2")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_KEY
			s.yaml:3:1: unknown key 'cpu_count' in a scenario
			  hint: keys: title, source, design, core, cpu, cpus, preemption, seed, hz, ibt, memory, vmlinux, modules, livepatches, ftrace_ops, selftest, tasks, steps, expect, explore"
		`);
	});
	test("unknown in a livepatch, nearly right", () => {
		expect(broken("replace: false", "replacable: false")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_KEY
			s.yaml:6:28: unknown key 'replacable' in 'livepatches.lp1'
			  hint: did you mean 'replaceable'? keys: sources, replace, replaceable, replace_set, designs, funcs, objects, states"
		`);
	});
	test("unknown in a task", () => {
		expect(broken("calls: [funcA], sleeps_in", "call: [funcA], sleeps_in")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_KEY
			s.yaml:9:14: unknown key 'call' in 'tasks.sleeper'
			  hint: did you mean 'calls'? keys: count, calls, sleeps_in, interruptible, kthread, cpu, fork, exit, exit_calls, idle"
		`);
	});
	test("unknown in an expectation", () => {
		expect(broken("patch_state: IDLE", "patchstate: IDLE")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_KEY
			s.yaml:13:31: unknown key 'patchstate' in 'step 3: expect'
			  hint: did you mean 'patch_state'? keys: design, errno, dmesg, task, patch_state, pending, in, view, sysfs, func_stacks, calls, trace"
		`);
	});
	test("missing", () => {
		expect(broken("vmlinux: [a.c]\n", "")).toMatchInlineSnapshot(`
			"SCENARIO_MISSING_KEY
			s.yaml:1:1: a scenario needs the key 'vmlinux'
			  hint: it must be a list of files"
		`);
		expect(broken("sources: [lp1.c], ", "")).toMatchInlineSnapshot(`
			"SCENARIO_MISSING_KEY
			s.yaml:6:3: 'livepatches.lp1' needs the key 'sources'
			  hint: it must be a list of files"
		`);
		expect(broken("funcs: { funcA: lp1_funcA }", "states: [{ id: 1, version: 1 }]")).toMatchInlineSnapshot(`
			"SCENARIO_MISSING_KEY
			s.yaml:6:44: 'lp1' has states but no funcs
			  hint: without funcs its C code calls klp_enable_patch(), and klp_patch.states is there"
		`);
		expect(broken("  - settle", "  - test: t")).toMatchInlineSnapshot(`
			"SCENARIO_MISSING_KEY
			s.yaml:12:5: 'test' needs the key 'selftest'
			  hint: add selftest: FILE, the transcript that it is compared with"
		`);
		expect(broken("  - settle", "  - stat: { path: lp1/enabled, rights: 644 }")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:12:40: 'step 2: stat.rights' must be rights such as -rw-r--r--, not 644"
		`);
		expect(
			broken("  - insmod: lp1", "  - insmod: { module: lp1, params: { pids: { pids: nobody } } }"),
		).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_TASK
			s.yaml:11:52: unknown task 'nobody'
			  hint: tasks: worker, sleeper, worker/0, worker/1"
		`);
	});
	test("twice", () => {
		expect(broken("cpus: 2", "title: u")).toMatchInlineSnapshot(`
			"SCENARIO_SYNTAX
			s.yaml:3:1: not valid YAML: Map keys must be unique
			  hint: a scenario is one YAML 1.2 document, a map at its top"
		`);
		expect(
			broken("funcs: { funcA: lp1_funcA }", "funcs: { funcA: lp1_funcA }, objects: { vmlinux: { funcB: x } }"),
		).toMatchInlineSnapshot(`
			"SCENARIO_DUPLICATE
			s.yaml:6:84: 'funcs' and 'objects.vmlinux' are the same
			  hint: funcs is short for objects: { vmlinux: ... }"
		`);
	});
	test("inside of a step", () => {
		expect(broken("insmod: lp1", "insmod: { modul: lp1 }")).toBe(`SCENARIO_UNKNOWN_KEY
s.yaml:11:15: unknown key 'modul' in 'step 1: insmod'
  hint: did you mean 'module'? keys: module, params`);
		expect(broken("insmod: lp1", "{ errno: EBUSY }")).toContain(
			"s.yaml:11:7: unknown step 'errno'\n  hint: steps: insmod,",
		);
		expect(broken("insmod: lp1", "{}")).toContain("s.yaml:11:5: 'step 1' must be a step, not an empty map\n");
		const echo = "{ echo: { path: lp1/enabled, value: 1, errno: EBUSY }, errno: EBUSY }";
		expect(broken("insmod: lp1", echo)).toBe("SCENARIO_DUPLICATE\ns.yaml:11:60: errno is given twice");
		expect(broken("{ task: worker/0, patch_state: IDLE }", "{ sysfs: { /proc/x: 1 } }")).toBe(`SCENARIO_BAD_VALUE
s.yaml:13:24: '/proc/x' is not in /sys/kernel/livepatch/
  hint: paths here are relative to that folder, for example lp1/enabled`);
		const twice = "  - { rmmod: lp1, errno: EBUSY }\n  - expect: { errno: EAGAIN }";
		expect(broken("  - settle", twice)).toBe(`SCENARIO_EXPECT
s.yaml:13:15: the step before already expects errno -16
  hint: say it once`);
	});
	test("inside of a race", () => {
		const race = (steps: string) => broken("insmod: lp1", `race: [[${steps}], [reverse]]`);
		expect(race("insmod: { modul: lp1 }")).toContain("unknown key 'modul' in 'step 1: race[0][0].insmod'");
		expect(race("wake: { a: 1 }")).toContain(
			"'step 1: race[0][0].wake' must be the name of a task, or a list of tasks",
		);
		expect(race("insmod")).toContain(
			"the step 'insmod' needs a value\n  hint: write it as 'insmod: the name of a module",
		);
		expect(race("settle")).toContain("the step 'settle' cannot stand in a race\n  hint: steps: insmod, rmmod, disable");
		expect(race("3")).toContain(
			"'step 1: race[0][0]' must be a step, not 3\n  hint: a word (reverse, force) or one key of",
		);
	});
	test("names of modules and tasks that are taken", () => {
		const modules = (name: string) =>
			broken("vmlinux: [a.c]", `vmlinux: [a.c]\nmodules: { ${name}: { sources: [b.c] } }`);
		expect(modules("vmlinux")).toBe(`SCENARIO_DUPLICATE
s.yaml:5:12: a module cannot be called vmlinux
  hint: vmlinux has a key of its own, next to modules`);
		expect(modules("lp1")).toBe(`SCENARIO_DUPLICATE
s.yaml:7:3: there already is a module 'lp1'
  hint: modules and livepatches share one name space`);
		const fork = "  - fork: { parent: worker/0, child: sleeper, calls: [funcA] }";
		expect(broken("  - settle", fork)).toBe(`SCENARIO_DUPLICATE
s.yaml:12:38: there already are tasks 'sleeper'
  hint: choose another name`);
	});
	test("of a task that do not go together", () => {
		expect(broken("{ calls: [funcA], sleeps_in: funcA }", "{ sleeps_in: funcA }")).toBe(`SCENARIO_BAD_VALUE
s.yaml:9:25: 'sleeper' sleeps in funcA but calls nothing
  hint: add calls: [funcA], or the function that leads there`);
		expect(broken("sleeps_in: funcA", "exit_calls: [funcA], kthread: true")).toBe(`SCENARIO_BAD_VALUE
s.yaml:9:30: 'sleeper' is a kthread, and only user tasks go through do_exit() here
  hint: leave out kthread`);
	});
	test("names that JavaScript treats specially", () => {
		expect(broken("funcs: { funcA:", "funcs: { __proto__:")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:6:53: __proto__ cannot be a key
			  hint: choose another name"
		`);
		expect(broken("funcs: { funcA:", "funcs: { constructor:")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:6:53: constructor cannot be a key
			  hint: choose another name"
		`);
	});
});

describe("values", () => {
	test("wrong type", () => {
		expect(broken("title: t", "title: { t: 1 }")).toBe(`SCENARIO_BAD_VALUE
s.yaml:1:8: 'title' must be a text, not a map`);
		expect(broken("cpus: 2", "cpus: two")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:3:7: 'cpus' must be a whole number from 1 to 64, not "two""
		`);
		expect(broken("replace: false", "replace: never")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:6:37: 'livepatches.lp1.replace' must be true or false, or a whole number from 0 to 4294967295, not "never""
		`);
		expect(broken("vmlinux: [a.c]", "vmlinux: a.c")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:4:10: 'vmlinux' must be a list of files, not "a.c""
		`);
		expect(broken("calls: [funcA] }", "calls: [12] }")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:8:31: 'tasks.worker.calls[0]' must be the name of a function, not 12"
		`);
		expect(broken("  - insmod: lp1", "  - insmod: [lp1]")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:11:13: 'step 1: insmod' must be the name of a module, or the path of a .ko, or a map, not a list"
		`);
	});
	test("out of range", () => {
		expect(broken("cpus: 2", "cpus: 0")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:3:7: 'cpus' must be a whole number from 1 to 64, not 0"
		`);
		expect(broken("cpus: 2", "seed: 18446744073709551616")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:3:7: 'seed' must be a whole number from 0 to 2^64 - 1, not 18446744073709551616"
		`);
		expect(broken("count: 2", "count: 2, cpu: 2")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:8:28: 'worker/0': there is no CPU 2
			  hint: cpus is 2, and CPUs are counted from 0"
		`);
	});
	test("not one of the allowed words", () => {
		expect(broken("patch_state: IDLE", "patch_state: PACHED")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:13:44: 'step 3: expect.patch_state' must be one of IDLE, UNPATCHED, PATCHED, or -1, 0 or 1, not "PACHED"
			  hint: did you mean 'PATCHED'? allowed: IDLE, UNPATCHED, PATCHED"
		`);
		expect(broken("expect: consistent", "expect: violatd")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:14:9: 'expect' must be one of consistent, violated, or a map of designs, not "violatd"
			  hint: did you mean 'violated'? allowed: consistent, violated"
		`);
		expect(broken("design: mainline", "design: universal")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_DESIGN
			s.yaml:2:9: unknown design 'universal'
			  hint: did you mean 'universe'? designs: mainline, rfc-2025, universe"
		`);
	});
	test("empty lists", () => {
		expect(broken("[lp1.c]", "[]")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:6:19: 'livepatches.lp1.sources' must be a list of files, not an empty list"
		`);
	});
	test("errnos", () => {
		expect(broken("  - settle", "  - expect: { errno: 16 }")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:12:22: 'step 2: expect.errno' must be 0 or a negative errno such as -16, or the name of an errno such as EBUSY, not 16"
		`);
		expect(broken("  - settle", "  - { rmmod: lp1, errno: EBUZY }")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:12:26: 'step 2: errno' must be 0 or a negative errno such as -16, or the name of an errno such as EBUSY, or errnos by design, not "EBUZY"
			  hint: did you mean 'EBUSY'?"
		`);
	});
});

describe("steps", () => {
	test("unknown", () => {
		expect(broken("insmod: lp1", "inmod: lp1")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_STEP
			s.yaml:11:5: unknown step 'inmod'
			  hint: did you mean 'insmod'? steps: insmod, rmmod, settle, run, sleep, disable, enable, reverse, force, echo, cat, stat, sysctl, register, unregister, modify, cpu_up, cpu_down, wake, fork, exit, call, state, test, expect, race"
		`);
		expect(broken("- settle", "- setle")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_STEP
			s.yaml:12:5: unknown step 'setle'
			  hint: did you mean 'settle'? steps: insmod, rmmod, settle, run, sleep, disable, enable, reverse, force, echo, cat, stat, sysctl, register, unregister, modify, cpu_up, cpu_down, wake, fork, exit, call, state, test, expect, race"
		`);
		expect(broken("- settle", "- rmmod")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_STEP
			s.yaml:12:5: the step 'rmmod' needs a value
			  hint: write it as 'rmmod: the name of a module'"
		`);
		expect(broken("- settle", "- 12")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:12:5: 'step 2' must be a step, not 12
			  hint: a word (settle, reverse, force) or one key of: insmod, rmmod, settle, run, sleep, disable, enable, reverse, force, echo, cat, stat, sysctl, register, unregister, modify, cpu_up, cpu_down, wake, fork, exit, call, state, test, expect, race"
		`);
	});
	test("two in one", () => {
		expect(broken("- settle", "- { rmmod: lp1, wake: sleeper }")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:12:19: a step does one thing, not both 'rmmod' and 'wake'
			  hint: make it two entries of the list"
		`);
	});
	test("unknown livepatch, module, task", () => {
		expect(broken("insmod: lp1", "insmod: lp2")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_MODULE
			s.yaml:11:13: unknown livepatch or module 'lp2'
			  hint: did you mean 'lp1'? livepatches and modules: lp1"
		`);
		expect(broken("- settle", "- disable: lpl")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_LIVEPATCH
			s.yaml:12:14: unknown livepatch 'lpl'
			  hint: did you mean 'lp1'? livepatches: lp1"
		`);
		expect(broken("- settle", "- echo: { path: lp7/enabled, value: 0 }")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_LIVEPATCH
			s.yaml:12:19: unknown livepatch 'lp7'
			  hint: did you mean 'lp1'? livepatches: lp1"
		`);
		expect(broken("- settle", "- wake: sleper")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_TASK
			s.yaml:12:11: unknown task 'sleper'
			  hint: did you mean 'sleeper'? tasks: worker, sleeper, worker/0, worker/1"
		`);
		expect(broken("task: worker/0", "task: worker/2")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_TASK
			s.yaml:13:21: unknown task 'worker/2'
			  hint: did you mean 'worker/0'? tasks: worker, sleeper, worker/0, worker/1"
		`);
		expect(broken("- settle", "- expect: { sysfs: { lp2/enabled: 1 } }")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_LIVEPATCH
			s.yaml:12:24: unknown livepatch 'lp2'
			  hint: did you mean 'lp1'? livepatches: lp1"
		`);
	});
	test("a task that has exited", () => {
		expect(broken("  - settle", "  - exit: sleeper\n  - wake: sleeper")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_TASK
			s.yaml:13:11: the task 'sleeper' has exited
			  hint: tasks: worker, worker/0, worker/1"
		`);
	});
	test("a fork that cannot be", () => {
		expect(broken("- settle", "- fork: { parent: worker, child: F }")).toMatchInlineSnapshot(`
			"SCENARIO_UNKNOWN_TASK
			s.yaml:12:21: 'worker' names 2 tasks, exactly one is needed
			  hint: name one of them: worker/0, worker/1"
		`);
		expect(broken("- settle", "- fork: { parent: sleeper, child: worker }")).toMatchInlineSnapshot(`
			"SCENARIO_DUPLICATE
			s.yaml:12:37: there already are tasks 'worker'
			  hint: choose another name"
		`);
	});
	test("expectations about nothing", () => {
		expect(broken("task: worker/0, ", "")).toMatchInlineSnapshot(`
			"SCENARIO_EXPECT
			s.yaml:13:5: 'patch_state' is about a task, but no 'task' is named
			  hint: add task: NAME"
		`);
		expect(broken(", patch_state: IDLE", "")).toMatchInlineSnapshot(`
			"SCENARIO_EXPECT
			s.yaml:13:5: nothing is expected of the task
			  hint: add one of: patch_state, pending, in, view"
		`);
		expect(broken("  - insmod: lp1\n", "  - expect: { errno: -16 }\n")).toMatchInlineSnapshot(`
			"SCENARIO_EXPECT
			s.yaml:11:15: there is no step before this errno"
		`);
		expect(broken("- settle", "- expect: {}")).toMatchInlineSnapshot(`
			"SCENARIO_EXPECT
			s.yaml:12:5: an empty expectation
			  hint: add one of: errno, dmesg, task, sysfs, func_stacks, calls, trace"
		`);
	});
	test("a run without rounds and task", () => {
		expect(broken("- settle", "- run: {}")).toMatchInlineSnapshot(`
			"SCENARIO_MISSING_KEY
			s.yaml:12:5: 'run' needs 'task' or 'rounds'
			  hint: run: 50 is 50 rounds, run: { task: NAME } goes on until that task sleeps"
		`);
	});
});

describe("YAML", () => {
	test("syntax", () => {
		expect(broken("vmlinux: [a.c]", "vmlinux: [a.c")).toMatchInlineSnapshot(`
			"SCENARIO_SYNTAX
			s.yaml:5:1: not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]
			  hint: a scenario is one YAML 1.2 document, a map at its top"
		`);
		expect(broken("- settle", "- !tag settle")).toMatchInlineSnapshot(`
			"SCENARIO_SYNTAX
			s.yaml:12:5: not valid YAML: Unresolved tag: !tag
			  hint: a scenario is one YAML 1.2 document, a map at its top"
		`);
	});
	test("not a map", () => {
		expect(refusal("")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:1:1: a scenario must be a map, not null"
		`);
		expect(refusal("- a\n- b\n")).toMatchInlineSnapshot(`
			"SCENARIO_BAD_VALUE
			s.yaml:1:1: a scenario must be a map, not a list"
		`);
	});
	test("aliases that grow without bound are refused", () => {
		const lists = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
		for (let i = 1; i < 9; i++)
			lists.push(
				`a${i}: &a${i} [${Array(10)
					.fill(`*a${i - 1}`)
					.join(",")}]`,
			);
		expect(refusal(lists.join("\n"))).toMatchInlineSnapshot(`
			"SCENARIO_SYNTAX
			s.yaml:1:1: not valid YAML: Excessive alias count indicates a resource exhaustion attack
			  hint: a scenario is one YAML 1.2 document, a map at its top"
		`);
	});
	test("truncated anywhere, a scenario is refused with a place, or is a shorter scenario", () => {
		for (let length = 0; length < GOOD.length; length++) {
			try {
				parseScenario(GOOD.slice(0, length), "s.yaml");
			} catch (error) {
				if (!(error instanceof KlpemuError)) throw error;
				expect(error.where).toMatch(/^s\.yaml:\d+:\d+$/);
			}
		}
	});
});

test("however a scenario is mutilated, it is refused with a place or it is another scenario", () => {
	const edit = fc.record({
		at: fc.nat(GOOD.length),
		remove: fc.nat(12),
		insert: fc.oneof(
			fc.constantFrom(":", "- ", "{", "}", "[", "]", "\n", "  ", "'", '"', "&a ", "*a", "!x ", "|", "null", "-1", "? "),
			fc.string({ maxLength: 3 }),
		),
	});
	fc.assert(
		fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
			let text = GOOD;
			for (const { at, remove, insert } of edits) text = text.slice(0, at) + insert + text.slice(at + remove);
			try {
				parseScenario(text, "s.yaml");
			} catch (error) {
				if (!(error instanceof KlpemuError)) throw error;
				expect(error.where).toMatch(/^s\.yaml:\d+:\d+$/);
			}
		}),
		{ seed: 20261124, numRuns: LONG ? 3000 : 600 },
	);
});
