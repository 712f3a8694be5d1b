/** klpemu kit: what it writes for the scenarios of this repo. That a kernel runs it is shown by test/golden/real-kernel.test.ts and its long test. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { KIT_LIMITS, makeKit } from "../../../src/node/kit/index.js";
import { parseScenario } from "../../../src/scenario/index.js";

function scenario(file: string) {
	return parseScenario(readFileSync(file, "utf8"), file);
}

const all = ["scenarios", "scenarios/family"].flatMap((folder) =>
	readdirSync(folder)
		.filter((name) => name.endsWith(".yaml"))
		.map((name) => `${folder}/${name}`),
);

test.each(all)("%s: each step is in run.sh, or is said to look only", async (file) => {
	const parsed = scenario(file);
	const { files } = await makeKit(parsed, "mainline");
	const run = files.get("run.sh")!;
	for (const [index, { kind }] of parsed.steps.entries()) {
		const looks = ["expect", "state", "test"].includes(kind);
		expect(run.includes(`\nstep ${index + 1} `), `step ${index + 1}`).toBe(!looks);
	}
	for (const { name } of parsed.livepatches.values()) expect(files.get("Makefile")).toContain(` ${name}.o`);
});

test("sources are copied unchanged, and the struct klp_patch is written for livepatches that say what they patch", async () => {
	const { files, notes } = await makeKit(scenario("scenarios/hybrid-lp1-lp2-lp3.yaml"), "mainline");
	expect(files.get("lp2/lp2.c")).toBe(readFileSync("asm/livepatches/lp2.c", "utf8"));
	expect(files.get("target/funcs.c")).toBe(readFileSync("asm/vmlinux/funcs.c", "utf8"));
	expect(files.get("target/main.c")).toContain("EXPORT_SYMBOL_GPL(weigh);");
	const patch = files.get("lp3/patch.c")!;
	expect(patch).toContain('{ .old_name = "funcB", .new_func = lp3_funcB, },');
	expect(patch).toContain('{ .name = "klp_target", .funcs = kit_funcs_klp_target, },');
	expect(patch).toContain(".replace = true,");
	expect(patch).not.toContain("replaceable");
	expect(notes.map(({ text }) => text)).toEqual([
		"design: the scenario is about rfc-2025, this kit is for a kernel with mainline (klpemu kit --design)",
		"klp_patch.replaceable, klp_patch.replace_set: a kernel with mainline has no such field, and the livepatches are built without it",
	]);
});

test("another design: its fields, in the struct and as parameters", async () => {
	const { files } = await makeKit(scenario("scenarios/hybrid-lp1-lp2-lp3.yaml"), "rfc-2025");
	expect(files.get("lp1/patch.c")).toContain("static bool replaceable = 0;\nmodule_param(replaceable, bool, 0444);");
	expect(files.get("lp1/patch.c")).toContain("kit_patch.replaceable = replaceable;");
	expect(files.get("run.sh")).toContain("FIELDS='replaceable'");
	expect(files.get("run.sh")).toContain("begin 'hybrid-lp1-lp2-lp3' 'rfc-2025'");
});

test("a task sleeps in all implementations of a function, under all its names", async () => {
	const { files } = await makeKit(scenario("scenarios/mainline-order.yaml"), "mainline");
	expect(files.get("run.sh")).toContain("kit 'sleeps H idle funcB lp2_funcB lp3_funcB'");
	const text = readFileSync("scenarios/family/one-address.yaml", "utf8").replace(
		"worker: { calls: [funcE, funcB] }",
		"worker: { calls: [funcE, funcB], sleeps_in: funcE }",
	);
	const aliases = await makeKit(parseScenario(text, "scenarios/family/one-address.yaml"), "mainline");
	expect(aliases.files.get("run.sh")).toContain("sleeps worker idle funcE funcE_alias lp1_funcA lp2_funcA'");
});

test("a livepatch in C is built as it is; what it changes of the scenario's vmlinux is in klp_target", async () => {
	const { files } = await makeKit(scenario("scenarios/c-livepatch.yaml"), "mainline");
	expect(files.get("counting/counting.c")).toBe(readFileSync("asm/livepatches/counting.c", "utf8"));
	expect(files.get("Makefile")).toContain("CFLAGS_counting/counting.o := $(TRACED) -include $(src)/livepatch-in-c.h");
	expect(files.get("livepatch-in-c.h")).toContain('obj->name = "klp_target";');
	expect(files.get("livepatch-in-c.h")).toContain('"cmdline_proc_show", ');
	expect(files.has("target/kernel.c")).toBe(false);
	expect(files.get("run.sh")).toContain("stat -c %A /sys/kernel/livepatch/counting/klp_target/funcA,1");
});

test("what a livepatch in C patches is read from its tables: a task can sleep in it, and is asked for it", async () => {
	const { files } = await makeKit(scenario("test/node/kit/in-c.yaml"), "mainline");
	const run = files.get("run.sh")!;
	expect(run).toContain("WATCHED_IN='tracers:note_call klp_target:funcA'");
	expect(run).toContain("kit 'sleeps worker idle funcA in_c_funcA'");
});

test("what a kernel cannot do is said per step, in the kit's README, in run.sh and by the command", async () => {
	const { files, notes } = await makeKit(scenario("scenarios/fork.yaml"), "mainline");
	const text =
		"window: a kernel does not say what others do in the middle of copy_process(); nothing is waited for there";
	expect(notes).toContainEqual({ step: 5, text });
	expect(files.get("README.md")).toContain(`* step 5 (fork early from parent): ${text}`);
	expect(files.get("run.sh")).toContain(`cannot 5 '${text}'`);
	const race = await makeKit(scenario("scenarios/family/disable-reverse.yaml"), "mainline");
	expect(race.notes).toEqual([
		{ step: 3, text: "a kernel does not say who is first: one list is made after the other" },
	]);
});

test.each([
	["scenarios/selftests/test-sysfs.yaml", (text: string) => text, "a scenario of a selftest script has no kit"],
	[
		"scenarios/busy.yaml",
		(text: string) => text.replace("[asm/vmlinux/funcs.c]", "[asm/prebuilt/vmlinux/funcs.o]"),
		"is not C",
	],
	[
		"scenarios/busy.yaml",
		(text: string) =>
			text
				.replaceAll("lp1:", "klpkit:")
				.replaceAll("insmod: lp1", "insmod: klpkit")
				.replaceAll("disable: lp1", "disable: klpkit")
				.replaceAll("lp1/", "klpkit/"),
		"has a module 'klpkit' of its own",
	],
] as const)("%s: refused: %#", async (file, change, message) => {
	const text = change(readFileSync(file, "utf8"));
	const kit = makeKit(parseScenario(text, file), "mainline");
	await expect(kit).rejects.toMatchObject({ code: "KIT_UNSUPPORTED", message: expect.stringContaining(message) });
});

test("names that the kit has itself are no trouble: main.c, patch.c, a module called target", async () => {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-kit-"));
	try {
		copyFileSync("asm/vmlinux/funcs.c", join(folder, "main.c"));
		copyFileSync("asm/livepatches/lp1.c", join(folder, "patch.c"));
		copyFileSync("asm/modules/tracers.c", join(folder, "tracers.c"));
		const { files } = await makeKit(scenarioIn(folder, ""), "mainline");
		expect(files.get("target/main.c")).toContain("long funcA(long x)");
		expect(files.get("target/kit-main.c")).toContain("module_init(kit_init);");
		expect(files.get("lp1/kit-patch.c")).toContain('#include "patch.c"');
		expect(files.get("Makefile")).toContain("klp_target-y := target/kit-main.o target/main.o");
		expect(files.get("Makefile")).toContain("CFLAGS_target/main.o := $(TRACED)\nCFLAGS_target-module/tracers.o");
	} finally {
		rmSync(folder, { recursive: true });
	}
});

function scenarioIn(folder: string, more: string) {
	const text = `title: names
vmlinux: [main.c${more}]
modules: { target: { sources: [tracers.c] } }
livepatches: { lp1: { sources: [patch.c], funcs: { funcA: lp1_funcA } } }
steps: [settle]
`;
	return parseScenario(text, join(folder, "x.yaml"));
}

test("two sources of one name in one module are refused: the kit has them in one folder", async () => {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-kit-"));
	try {
		mkdirSync(join(folder, "other"));
		for (const file of ["main.c", "other/main.c"]) copyFileSync("asm/vmlinux/funcs.c", join(folder, file));
		copyFileSync("asm/livepatches/lp1.c", join(folder, "patch.c"));
		copyFileSync("asm/modules/tracers.c", join(folder, "tracers.c"));
		await expect(makeKit(scenarioIn(folder, ", other/main.c"), "mainline")).rejects.toMatchObject({
			code: "KIT_UNSUPPORTED",
			message: expect.stringContaining("'main.c' and 'other/main.c' have one name, and belong to one module"),
		});
	} finally {
		rmSync(folder, { recursive: true });
	}
});

test("the limits of a kit are those of the harness", () => {
	const harness = ["harness.h", "klpkit.h"].map((file) => readFileSync(`asm/kit/${file}`, "utf8")).join("");
	for (const [name, value] of Object.entries(KIT_LIMITS)) {
		expect(harness).toMatch(new RegExp(`^#define ${name} ${value}$`, "m"));
	}
});

const EVERYTHING = `title: Everything
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]
modules: { tracers: { sources: [asm/modules/tracers.c] } }
livepatches:
  lp1:
    sources: [asm/livepatches/lp1.c]
    replace_set: 3
    funcs: { funcA: lp1_funcA }
    states: [{ id: 1, version: 2 }]
  lp2:
    sources: [asm/livepatches/lp2.c, asm/livepatches/lp3.c]
    funcs: { "funcB#1": lp2_funcB, cmdline_proc_show: lp2_funcA }
ftrace_ops:
  all: {}
  away: { funcs: [funcA], flags: [SAVE_REGS], ip: funcB }
tasks:
  K: { calls: [funcA], kthread: true, cpu: 1 }
  U: { calls: [funcA], cpu: 1, fork: true }
  E: { calls: [funcA], exit_calls: [funcA] }
steps:
  - register: all
  - insmod: { module: lp1, params: { who: { pids: [U, K] } } }
  - cat: { path: /proc/U/status, grep: "it's" }
  - cat: lp1/vmlinux
  - cat: { path: "lp1/vmlinux/cmdline_proc_show,1/x", to: /proc/sys/kernel/ftrace_enabled }
  - reverse: lp1
  - reverse
  - fork: { parent: U, child: C, kthread: true, calls: [funcA] }
  - call: { task: U, func: funcA, args: [-1, 2] }
  - unregister: all
`;

test("each form of a step, a task and a livepatch, as the shell and a kernel's C write it", async () => {
	const { files, notes } = await makeKit(parseScenario(EVERYTHING, "everything.yaml"), "replace-set-v1");
	const lines = files.get("run.sh")!.split("\n");
	expect(lines.filter((line) => /^(kit|user|cmd|call|forked) /.test(line))).toEqual([
		"cmd 'insmod ./klp_target.ko'",
		"kit 'ops all'",
		"kit 'ops away flags=SAVE_REGS,IPMODIFY ip=klp_target:funcB klp_target:funcA'",
		...["kit 'task K'", "kit 'calls K klp_target:funcA'", "kit 'kthread K 1'"],
		...["kit 'task U'", "kit 'calls U klp_target:funcA'", "user U 1"],
		...["kit 'task E'", "kit 'calls E klp_target:funcA'", "user E"],
		"cmd 'echo register all > /proc/klpkit'",
		"cmd 'insmod ./lp1.ko who=$(pid_of U),$(pid_of K)'",
		`cmd 'grep -F '\\''it'\\''\\'\\'''\\''s'\\'' /proc/$(pid_of U)/status'`,
		"cmd 'cat /sys/kernel/livepatch/lp1/klp_target'",
		"cmd 'cat /sys/kernel/livepatch/lp1/vmlinux/cmdline_proc_show,1/x > /proc/sys/kernel/ftrace_enabled'",
		"cmd 'echo $(opposite $KL/lp1/enabled) > $KL/lp1/enabled'",
		"cmd 'echo $(opposite $KL/$(in_transition)/enabled) > $KL/$(in_transition)/enabled'",
		...["kit 'task C'", "kit 'calls C klp_target:funcA'", "kit 'kthread C'"],
		"call U klp_target:funcA 0xffffffffffffffff 0x2",
		"cmd 'echo unregister all > /proc/klpkit'",
	]);
	const lp1 = files.get("lp1/patch.c")!;
	expect(lp1).toContain("\nstatic struct klp_state kit_states[] = {\n\t{ .id = 1, .version = 2, },\n\t{ }\n};\n");
	expect(lp1).toContain("\t.objs = kit_objs,\n\t.states = kit_states,\n};\n");
	expect(lp1).toContain("static unsigned int replace_set = 3;\nmodule_param(replace_set, uint, 0444);\n");
	const lp2 = files.get("lp2/patch.c")!;
	expect(lp2).toContain("\nextern void lp2_funcB(void);\nextern void lp2_funcA(void);\n");
	expect(lp2).toContain('\t{ .old_name = "funcB", .new_func = lp2_funcB, .old_sympos = 1, },\n');
	expect(lp2).toContain(
		'\t{ .name = "klp_target", .funcs = kit_funcs_klp_target, },\n\t{ .funcs = kit_funcs_vmlinux, },\n',
	);
	expect(notes).toEqual([
		{
			step: undefined,
			text: "design: the scenario is about mainline, this kit is for a kernel with replace-set-v1 (klpemu kit --design)",
		},
		{
			step: undefined,
			text: "which implementation of funcB a task runs is not recorded: several functions have this name, so that it cannot be looked up",
		},
		{
			step: undefined,
			text: "which implementation of cmdline_proc_show a task runs is not recorded: it is a function of the real vmlinux, which has no block that tells who it is",
		},
		{ step: undefined, text: "ftrace_ops all is attached to all functions of the real kernel" },
		{ step: undefined, text: "U does not fork or exit by itself: only the explorer moves it there" },
		{ step: undefined, text: "E: no function is called from do_exit() of a real kernel (exit_calls)" },
		{ step: 8, text: "C is made by kthreadd, and has its patch_state, not that of its parent" },
	]);
});
