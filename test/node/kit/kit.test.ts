/** klpemu kit: what it writes for the scenarios of this repo. That a kernel runs it is shown by test/golden/real-kernel.test.ts and its long test. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { makeKit } from "../../../src/node/kit/index.js";
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
	expect(patch).toContain('{ .name = "klp_target", .funcs = funcs0, },');
	expect(patch).toContain(".replace = 1,");
	expect(patch).not.toContain("replaceable");
	expect(notes).toEqual([]);
});

test("another design: its fields, in the struct and as parameters", async () => {
	const { files } = await makeKit(scenario("scenarios/hybrid-lp1-lp2-lp3.yaml"), "rfc-2025");
	expect(files.get("lp1/patch.c")).toContain("static bool replaceable = 0;\nmodule_param(replaceable, bool, 0444);");
	expect(files.get("lp1/patch.c")).toContain("patch.replaceable = replaceable;");
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

test("what a kernel cannot do is said per step, in the kit's README, in run.sh and by the command", async () => {
	const { files, notes } = await makeKit(scenario("scenarios/direct-calls.yaml"), "mainline");
	expect(notes.map(({ step }) => step)).toEqual([2, 5, 8, 9, 18]);
	expect(files.get("README.md")).toContain("* step 2 (register fentry): fentry has a function of its own");
	expect(files.get("run.sh")).toContain("cannot 2 'fentry has a function of its own");
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
