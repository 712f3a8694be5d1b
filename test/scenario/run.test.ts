/** Scenarios that a user might write: their own C, their own mistakes. Each runs on the real machine. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KlpemuError } from "../../src/base/index.js";
import { nodeHost } from "../../src/node/index.js";
import type { Report } from "../../src/report/index.js";
import { parseScenario } from "../../src/scenario/index.js";
import { type RunScenarioOptions, runScenario } from "../../src/scenario/run.js";

let folder = "";
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
	await writeFile(join(folder, "mine.c"), "long mine(long x) { return 7 * x; }\n");
	await writeFile(join(folder, "fix.c"), "long fixed_mine(long x) { return 8 * x; }\n");
	await writeFile(join(folder, "broken.c"), "long mine(long x) { return }\n");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function run(yaml: string, options: Partial<RunScenarioOptions> = {}): Promise<Report> {
	const file = join(folder, "scenario.yaml");
	return runScenario(parseScenario(yaml, file), { host: nodeHost(file), ...options });
}

const BASE = `
title: test
design: mainline
cpus: 1
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/twin.c]
tasks: { worker: { calls: [funcA] } }
`;

test("a user's own C is compiled on the fly, and its livepatch really changes what it returns", async () => {
	const report = await run(`
title: mine
design: mainline
vmlinux: [mine.c]
livepatches: { fix: { sources: [fix.c], funcs: { mine: fixed_mine } } }
tasks: { t: { calls: [mine] } }
steps:
  - call: { task: t, func: mine, value: 21 }
  - insmod: fix
  - settle
  - call: { task: t, func: mine, value: 24 }
  - disable: fix
  - settle
  - call: { task: t, func: mine, value: 21 }
`);
	expect([report.failures, report.verdict]).toEqual([[], "consistent"]);
});

test("an expectation for other designs is skipped, and says so", async () => {
	const wrong = "func_stacks: { funcA: [untraced] }";
	const steps = `{ expect: { design: universe, ${wrong} } }, settle, { expect: { design: mainline, errno: 0 } }`;
	const report = await run(`${BASE}steps: [${steps}]\n`);
	expect(report.steps.map(({ skipped }) => skipped)).toEqual([
		"it is for universe, not for mainline",
		undefined,
		undefined,
	]);
	expect(report.asExpected).toBe(true);
});

test("a wrong value is reported with the actual one", async () => {
	const report = await run(`${BASE}
steps: [{ call: { task: worker, func: untraced, value: 1 } }]
`);
	expect(report.failures.map(({ message }) => message)).toEqual(["untraced returns 5, not 1"]);
	expect(report.asExpected).toBe(false);
});

describe("symbol positions: two functions called twin", () => {
	const patch = (target: string) => `${BASE}
livepatches: { lp: { sources: [asm/livepatches/lp1.c], funcs: { "${target}": lp1_funcA } } }
steps: [{ insmod: lp }]
`;
	test.each([
		["twin", -22, "livepatch: unresolvable ambiguity for symbol 'twin' in object '(null)'"],
		["twin#3", -22, "livepatch: symbol position 3 for symbol 'twin' in object 'vmlinux' not found"],
		["untraced", -22, "livepatch: failed to find location for function 'untraced'"],
	])("%s gives %i and the kernel's message", async (target, errno, message) => {
		const report = await run(patch(target));
		expect(report.steps[0]!.errno).toBe(errno);
		expect(report.dmesg).toContain(message);
		expect([report.steps[0]!.sysfs, report.steps[0]!.func_stacks]).toEqual([{}, {}]);
	});

	test("each can be patched by its position, and the other stays as it is", async () => {
		const report = await run(`${BASE}
livepatches: { lp: { sources: [asm/livepatches/lp1.c], funcs: { "twin#2": lp1_funcA } } }
steps:
  - call: { task: worker, func: call_other_twin, value: 3506 }
  - insmod: lp
  - settle
  - call: { task: worker, func: call_twin, value: 3505 }
  - call: { task: worker, func: call_other_twin, value: 4104 }
`);
		expect(report.failures.map(({ message }) => message)).toEqual([]);
	});
});

describe("mistakes end in an error with reason and place", () => {
	const rejects = async (yaml: string): Promise<KlpemuError> => {
		try {
			await run(yaml);
		} catch (error) {
			return error as KlpemuError;
		}
		throw new Error("this must fail");
	};

	test("a function that no object defines", async () => {
		const error = await rejects(BASE.replace("calls: [funcA]", "calls: [funcX]").concat("steps: [settle]\n"));
		expect([error.code, error.reason, error.where]).toEqual([
			"SCENARIO_UNKNOWN_FUNC",
			"unknown function 'funcX'",
			expect.stringMatching(/scenario\.yaml:6:\d+$/),
		]);
		expect(error.hint).toContain("funcA");
	});
	test("C that does not compile", async () => {
		const error = await rejects("title: t\nvmlinux: [broken.c]\ntasks: { t: {} }\nsteps: [settle]\n");
		expect(error.code).toBe("GCC_FAILED");
		expect(error.message).toMatch(/broken\.c[\s\S]*expected expression/);
	});
	test("a design that does not exist", async () => {
		const error = await run(`${BASE}steps: [settle]`, { design: "mainlin" }).catch((thrown: KlpemuError) => thrown);
		expect(error).toMatchObject({ code: "UNKNOWN_DESIGN", hint: expect.stringContaining("mainline") });
	});
	test.each([
		["tax", /tax\.c defines 'tax', but .* gcc has inlined it .* mark it noinline/],
		["fee", /gcc has made fee\.(constprop|isra)\.0 of 'fee'.*noclone/],
		["nowhere", /^functions: /],
	])("a function that gcc has not kept: %s", async (func, hint) => {
		await writeFile(
			join(folder, "tax.c"),
			`static long tax(long x)
{
	return x / 5;
}
static __attribute__((noinline)) long fee(long x, long rate) { return x * rate / 7 + x % rate; }
long price(long x) { return tax(x) + fee(x, 19); }
`,
		);
		const error = await rejects(`title: t\nvmlinux: [tax.c]\ntasks: { t: { calls: [${func}] } }\nsteps: [settle]\n`);
		expect(error).toMatchObject({ code: "SCENARIO_UNKNOWN_FUNC", hint: expect.stringMatching(hint) });
	});
	test("a source of an unknown kind, or that is a folder: with the place that names it", async () => {
		await writeFile(join(folder, "mine.rs"), "");
		for (const [source, code] of [
			["mine.rs", "SOURCE_KIND"],
			[".", "FILE_UNREADABLE"],
		]) {
			const error = await rejects(`title: t\nvmlinux: [${source}]\ntasks: { t: {} }\nsteps: [settle]\n`);
			expect(error).toMatchObject({ code, where: expect.stringMatching(/:2:11$/) });
		}
	});
});

test("with endbr64 before each fentry site, everything is the same", async () => {
	const scenario = (ibt: boolean) => `${BASE}
ibt: ${ibt}
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
steps: [{ insmod: lp1 }, settle, { call: { task: worker, func: funcA, value: 4104 } }]
`;
	const [without, with_] = await Promise.all([run(scenario(false)), run(scenario(true))]);
	expect(without.failures).toEqual([]);
	expect(with_.steps).toEqual(without.steps);
});

test("a task that never sleeps where it should, and a transition that does not end, are failures", async () => {
	const report = await run(`${BASE.replace("calls: [funcA]", "calls: [funcA], sleeps_in: funcB")}
livepatches: { lp2: { sources: [asm/livepatches/lp2.c], funcs: { funcB: lp2_funcB } } }
steps: [{ run: { task: worker, rounds: 20 } }]
`);
	expect(report.failures.map(({ message }) => message)).toEqual([
		"not asleep after 20 rounds: worker; if gcc has inlined the function in which it is to sleep, that needs noinline",
	]);
});

test("[rule 7.2] a trace shows each executed instruction: call site, trampoline, redirect by RET", async () => {
	const lines: string[] = [];
	await run(
		`${BASE.replace("calls: [funcA]", "idle: true")}
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
steps: [{ insmod: lp1 }, settle, { call: { task: worker, func: funcA } }]
`,
		{ traceInsns: (line) => lines.push(line) },
	);
	const own = lines.filter((line) => line.startsWith("worker ")).map((line) => line.replace(/^worker +/, ""));
	const site = own.findIndex((line) => line.includes("<funcA+0x0> callq "));
	const target = /callq (0x[0-9a-f]+)/.exec(own[site]!)![1];
	expect(own[site + 1]).toMatch(new RegExp(`^${target} .* subq \\$0xa8, %rsp$`));
	const handler = own.findIndex((line) => line.includes("<klp_ftrace_handler>"));
	expect(own.slice(handler, handler + 2).map((line) => line.split("> ")[1])).toEqual(["nop", "retq"]);
	const entry = own.findIndex((line) => line.includes("<lp1_funcA+0x0>"));
	expect(own[entry - 1]).toMatch(/ retq$/);
	expect(own.some((line) => line.includes("<funcA+0x5>"))).toBe(false);
});

describe("functions that guest C may call", () => {
	const C = `
int printk(const char *fmt, ...);
void schedule(void);
void __set_current_state(unsigned int state);
long helper(long x) { printk("\\0014helper(%ld) %s\\n", x, "called"); __set_current_state(2); schedule(); return x + 1; }
`;
	const yaml = (steps: string) => `
title: t
design: mainline
vmlinux: [sleeps.c]
modules: { provider: { sources: [provider.c] }, user: { sources: [user.c] }, lost: { sources: [lost.c] } }
tasks: { t: { calls: [helper] } }
steps: ${steps}
`;
	beforeAll(async () => {
		await writeFile(join(folder, "sleeps.c"), C);
		await writeFile(join(folder, "provider.c"), "long provided(long x) { return x; }\n");
		await writeFile(join(folder, "user.c"), "long provided(long x); long use(long x) { return provided(x) + 1; }\n");
		await writeFile(join(folder, "lost.c"), "long nowhere(long x); long lost(long x) { return nowhere(x) + 1; }\n");
	});

	test("printk prints, and schedule() sleeps in the middle of the function, on its real stack, until a wake", async () => {
		const report = await run(yaml("[{ run: { task: t } }, { wake: t }, { run: 5 }]"));
		expect(report.failures).toEqual([]);
		expect(report.dmesg.slice(0, 1)).toEqual(["helper(3) called"]);
	});
	test("a module whose symbols another one uses cannot go before that", async () => {
		const report = await run(
			yaml(
				"[{ insmod: user, errno: ENOENT }, { insmod: provider }, { insmod: user }, { rmmod: provider, errno: EAGAIN }, { rmmod: user }, { rmmod: provider }]",
			),
		);
		expect([report.failures, report.verdict]).toEqual([[], "consistent"]);
	});
	test("an undefined symbol: the kernel's -ENOENT, and the reason in dmesg", async () => {
		const report = await run(yaml("[{ insmod: lost, errno: ENOENT }]"));
		expect(report.failures).toEqual([]);
		expect(report.dmesg.join()).toMatch(/lost: .*nowhere/);
	});
});

test("text that is unloaded under a sleeper's feet is seen at once", async () => {
	await writeFile(
		join(folder, "gone.c"),
		"long untraced(long x); void schedule(void); void __set_current_state(unsigned int state);\nlong gone(long x) { __set_current_state(2); schedule(); return untraced(x) + 1; }\n",
	);
	const report = await run(`${BASE}
modules: { some_mod: { sources: [gone.c] } }
livepatches: { lp: { sources: [asm/livepatches/lp1.c], objects: { some_mod: { gone: lp1_funcA } } } }
steps:
  - insmod: some_mod
  - fork: { parent: worker, child: s, calls: [gone] }
  - run: { task: s }
  - rmmod: some_mod
`);
	expect(report.violations.map(({ invariant, task, step }) => [invariant, task, step])).toEqual([
		["freed-text", "s", 4],
	]);
});

test("a module that comes and goes is no sudden change", async () => {
	await writeFile(join(folder, "mod.c"), "long in_mod(long x) { return x; }\n");
	const report = await run(`${BASE}
modules: { some_mod: { sources: [mod.c] } }
livepatches: { lp: { sources: [asm/livepatches/lp1.c], objects: { some_mod: { in_mod: lp1_funcA } } } }
steps: [{ insmod: lp }, settle, { insmod: some_mod }, { run: 5 }, { rmmod: some_mod }, { insmod: some_mod }, { disable: lp }, settle]
`);
	expect([report.failures, report.violations]).toEqual([[], []]);
	expect(report.dmesg).toContain("livepatch: applying patch 'lp' to loading module 'some_mod'");
});

test("a task can be put to sleep again and again", async () => {
	const report = await run(`${BASE.replace("calls: [funcA]", "calls: [funcA], sleeps_in: funcA")}
steps: [{ run: { task: worker } }, { wake: worker }, { run: 3 }, { run: { task: worker } }, { expect: { task: worker, in: null } }]
`);
	expect(report.failures).toEqual([]);
});

describe("a livepatch in C", () => {
	const C = `
#include <linux/livepatch.h>
static int answer = 8;
module_param(answer, int, 0644);
static long new_mine(long x) { return answer * x; }
static struct klp_func funcs[] = { { .old_name = "mine", .new_func = new_mine }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int lp_init(void) { return klp_enable_patch(&patch); }
static void lp_exit(void) { }
module_init(lp_init);
module_exit(lp_exit);
MODULE_INFO(livepatch, "Y");
`;
	const yaml = (more: string, steps: string) => `
title: t
design: mainline
vmlinux: [mine.c, asm/vmlinux/kernel.c]
livepatches: { lp: { sources: [lp.c]${more} } }
tasks: { t: { calls: [mine] } }
steps: ${steps}
`;
	beforeAll(() => writeFile(join(folder, "lp.c"), C));

	test("is loaded with parameters, which can be read and written, and is watched as any other", async () => {
		const report = await run(
			yaml(
				"",
				`
  - insmod: { module: lp, params: { answer: 0x10 } }
  - settle
  - call: { task: t, func: mine, value: 48 }
  - cat: { path: /sys/module/lp/parameters/answer, value: 16 }
  - echo: { path: /sys/module/lp/parameters/answer, value: 9 }
  - call: { task: t, func: mine, value: 27 }
  - { echo: { path: /sys/module/lp/parameters/answer, value: many }, errno: EINVAL }
  - expect: { task: t, view: { mine: new_mine } }
  - expect: { func_stacks: { mine: [new_mine] } }
  - stat: { path: "lp/vmlinux/mine,1", rights: drwxr-xr-x }
  - { rmmod: lp, errno: EAGAIN }
  - disable: lp
  - settle
  - rmmod: lp
  - call: { task: t, func: mine, value: 21 }`,
			),
		);
		expect([report.failures, report.verdict]).toEqual([[], "consistent"]);
	});

	test("gets from the scenario what a design has in struct klp_patch and its own struct has not", async () => {
		const steps = "[{ insmod: lp }, settle, { cat: { path: lp/replaceable, value: 0 } }]";
		const report = await run(yaml(", replaceable: false", steps), { design: "rfc-2025" });
		expect([report.failures, report.verdict]).toEqual([[], "consistent"]);
	});

	test("an init that refuses a parameter's value, or does not know the parameter", async () => {
		const report = await run(
			yaml(
				"",
				"[{ insmod: { module: lp, params: { answer: 99999999999 } }, errno: ERANGE }, { insmod: { module: lp, params: { other: 1 } } }]",
			),
		);
		expect(report.failures).toEqual([]);
		expect(report.dmesg).toContain("lp: `99999999999' invalid for parameter `answer'");
		expect(report.dmesg).toContain("lp: unknown parameter 'other' ignored");
	});

	test("C without a module_init() patches nothing: that is a mistake", async () => {
		await writeFile(join(folder, "lp.c"), "long nothing(long x) { return x; }\n");
		const error = (await run(yaml("", "[settle]")).catch((thrown: unknown) => thrown)) as KlpemuError;
		expect(error.code).toBe("SCENARIO_NO_PATCH");
		expect(error.where).toMatch(/scenario\.yaml:5:/);
		await writeFile(join(folder, "lp.c"), C);
	});
});
