/** Every key of a scenario: the kit does it, says what a kernel does otherwise, or refuses the scenario. Nothing is left out in silence. */
import { describe, expect, test } from "vitest";
import { makeKit } from "../../../src/node/kit/index.js";
import { parseScenario } from "../../../src/scenario/index.js";
import { scenarioJsonSchema } from "../../../tools/json-schema.js";

interface Schema {
	readonly properties?: Readonly<Record<string, Schema>>;
	readonly additionalProperties?: Schema | boolean;
	readonly items?: Schema;
	readonly anyOf?: readonly Schema[];
}

/** The paths of all keys: `tasks.NAME.calls`, `steps[].fork.window`. */
function keysOf(path: string, schema: Schema): string[] {
	const own = Object.entries(schema.properties ?? {}).flatMap(([key, below]) => {
		const at = path === "" ? key : `${path}.${key}`;
		return [at, ...keysOf(at, below)];
	});
	const { additionalProperties: named } = schema;
	const map = typeof named === "object" ? keysOf(`${path}.NAME`, named) : [];
	const list = schema.items === undefined ? [] : keysOf(`${path}[]`, schema.items);
	return [...own, ...map, ...list, ...(schema.anyOf ?? []).flatMap((one) => keysOf(path, one))];
}

/** A step of a race is the same step. */
const KEYS = new Set(keysOf("", scenarioJsonSchema() as Schema).map((key) => key.replace(".race[][].", ".")));

/** Keys of a file: the fields of designs are not in the types. */
type Keys = Readonly<Record<string, unknown>>;

/** What the kit makes of a key: a text of one of its files, a note, or an error. */
type Treatment = { does: string; in?: string } | { says: string } | { refuses: string };
type Row = readonly [Keys, Treatment];

const lp1 = { sources: ["asm/livepatches/lp1.c"], funcs: { funcA: "lp1_funcA" } };
const BASE: Keys = {
	title: "T",
	vmlinux: ["asm/vmlinux/funcs.c"],
	modules: { tracers: { sources: ["asm/modules/tracers.c"] } },
	livepatches: { lp1 },
	tasks: { worker: { calls: ["funcA"] } },
	steps: ["settle"],
};

const livepatch = (more: Keys) => ({ livepatches: { lp1: { ...lp1, ...more } } });
const ops = (one: Keys) => ({ ftrace_ops: { probe: { funcs: ["funcA"], ...one } } });
const task = (more: Keys) => ({ tasks: { worker: { calls: ["funcA"], ...more } } });
const step = (...steps: (string | Keys)[]) => ({ steps });
const expects = (one: Keys) => step("settle", { expect: one });
const fork = (more: Keys) => step({ fork: { parent: "worker", child: "child", ...more } });

const run = (does: string): Treatment => ({ does });
const patch = (does: string): Treatment => ({ does, in: "lp1/patch.c" });
const says = (text: string): Treatment => ({ says: text });
const refuses = (text: string): Treatment => ({ refuses: text });
/** The record has what the machine made of it; klpemu compare looks. */
const COMPARED: Treatment = { does: "is not checked here: run.sh records, `klpemu compare` looks", in: "README.md" };

const OTHER_DESIGN = "a kernel with mainline has no such field";

const ROWS: Readonly<Record<string, Row | readonly Row[]>> = {
	title: [{ title: "My title" }, run("# Written by klpemu kit from x.yaml: My title")],
	source: [{ source: "a mail" }, { does: "Its source: a mail", in: "README.md" }],
	design: [{ design: "universe" }, says("the scenario is about universe, this kit is for a kernel with mainline")],
	core: [{ core: "x.klpcore" }, says("core: the kernel that runs has its own livepatch code")],
	cpu: [{ cpu: "jit" }, says("cpu: the machine has its own processor")],
	cpus: [
		[{ cpus: 3 }, run("# cpus: 3\n")],
		[{ cpus: 3 }, run("CPUS=3\n")],
		[{ cpus: 1 }, says("klpemu vm has 2")],
	],
	preemption: [{ preemption: "full" }, says("needs a kernel booted with preempt=full")],
	seed: [{ seed: 7 }, says("seed: a kernel's schedule is its own")],
	hz: [
		[{ hz: 100 }, says("the kernel's CONFIG_HZ is its own")],
		[{ hz: 100, steps: [{ run: 50 }] }, run("run_for 0.5")],
	],
	ibt: [{ ibt: true }, says("CONFIG_X86_KERNEL_IBT")],
	memory: [{ memory: "128 MiB" }, says("memory: the machine has its own")],
	vmlinux: [
		[{}, { does: "noinline long funcA(long x)", in: "target/funcs.c" }],
		[{ vmlinux: ["asm/prebuilt/vmlinux/funcs.o"] }, refuses("is not C")],
	],
	modules: [{}, { does: "obj-m := klpkit.o klp_target.o tracers.o lp1.o", in: "Makefile" }],
	"modules.NAME.sources": [{}, { does: "direct_tramp", in: "tracers/tracers.c" }],
	livepatches: [{}, { does: "lp1-y := lp1/patch.o", in: "Makefile" }],
	"livepatches.NAME.sources": [{}, { does: "lp1_funcA", in: "lp1/lp1.c" }],
	"livepatches.NAME.replace": [livepatch({ replace: true }), patch(".replace = true,")],
	"livepatches.NAME.replaceable": [livepatch({ replaceable: true }), says(OTHER_DESIGN)],
	"livepatches.NAME.replace_set": [livepatch({ replace: true, replace_set: 0 }), says(OTHER_DESIGN)],
	"livepatches.NAME.designs": [livepatch({ designs: { mainline: { replace: true } } }), patch(".replace = true,")],
	"livepatches.NAME.designs.NAME.replace": [
		livepatch({ replace: false, designs: { mainline: { replace: true } } }),
		patch(".replace = true,"),
	],
	"livepatches.NAME.designs.NAME.replaceable": [
		livepatch({ designs: { mainline: { replaceable: true } } }),
		says(OTHER_DESIGN),
	],
	"livepatches.NAME.designs.NAME.replace_set": [
		livepatch({ designs: { mainline: { replace: true, replace_set: 0 } } }),
		says(OTHER_DESIGN),
	],
	"livepatches.NAME.designs.NAME.funcs": [
		livepatch({ designs: { mainline: { funcs: { funcA: { replaceable: true } } } } }),
		says("klp_func.replaceable: "),
	],
	"livepatches.NAME.designs.NAME.funcs.NAME.replaceable": [
		livepatch({ designs: { mainline: { funcs: { funcA: { replaceable: true } } } } }),
		says("klp_func.replaceable: "),
	],
	"livepatches.NAME.funcs": [
		[{}, patch('{ .old_name = "funcA", .new_func = lp1_funcA, }')],
		[livepatch({ funcs: { "twin#2": "lp1_funcA" } }), patch(".old_sympos = 2,")],
		[livepatch({ funcs: { "twin#2": "lp1_funcA" } }), says("several functions have this name")],
	],
	"livepatches.NAME.funcs.NAME.new_func": [
		livepatch({ funcs: { funcA: { new_func: "lp1_funcA" } } }),
		patch(".new_func = lp1_funcA,"),
	],
	"livepatches.NAME.funcs.NAME.replaceable": [
		livepatch({ funcs: { funcA: { new_func: "lp1_funcA", replaceable: true } } }),
		says("klp_func.replaceable: "),
	],
	"livepatches.NAME.objects": [
		livepatch({ objects: { tracers: { note_call: "lp1_funcA" } } }),
		patch('{ .name = "tracers", .funcs = kit_funcs_tracers, }'),
	],
	"livepatches.NAME.objects.NAME.NAME.new_func": [
		livepatch({ objects: { tracers: { note_call: { new_func: "lp1_funcA" } } } }),
		patch('{ .old_name = "note_call", .new_func = lp1_funcA, }'),
	],
	"livepatches.NAME.objects.NAME.NAME.replaceable": [
		livepatch({ objects: { tracers: { note_call: { new_func: "lp1_funcA", replaceable: true } } } }),
		says("klp_func.replaceable: "),
	],
	"livepatches.NAME.states": [livepatch({ states: [{ id: 1, version: 2 }] }), patch(".states = kit_states,")],
	"livepatches.NAME.states[].id": [livepatch({ states: [{ id: 7, version: 2 }] }), patch("{ .id = 7, ")],
	"livepatches.NAME.states[].version": [livepatch({ states: [{ id: 7, version: 2 }] }), patch(".version = 2, }")],
	ftrace_ops: [ops({}), run("kit 'ops probe klp_target:funcA'\n")],
	"ftrace_ops.NAME.funcs": [
		[ops({ funcs: ["funcA", "funcB"] }), run("kit 'ops probe klp_target:funcA klp_target:funcB'\n")],
		[{ ftrace_ops: { probe: {} } }, says("attached to all functions of the real kernel")],
	],
	"ftrace_ops.NAME.flags": [
		ops({ flags: ["SAVE_REGS", "RCU"] }),
		run("'ops probe flags=SAVE_REGS,RCU klp_target:funcA'"),
	],
	"ftrace_ops.NAME.func": [ops({ func: "tracer_func" }), run("'ops probe func=tracers:tracer_func klp_target:funcA'")],
	"ftrace_ops.NAME.ip": [ops({ ip: "funcB" }), run("'ops probe flags=IPMODIFY ip=klp_target:funcB klp_target:funcA'")],
	"ftrace_ops.NAME.direct": [
		ops({ direct: "direct_tramp" }),
		run("'ops probe direct=tracers:direct_tramp klp_target:funcA'"),
	],
	"ftrace_ops.NAME.shared": [
		ops({ direct: "direct_tramp_orig", shared: "direct_tramp_stack" }),
		run("direct=tracers:direct_tramp_orig shared=tracers:direct_tramp_stack "),
	],
	selftest: [{ selftest: "x.dmesg" }, refuses("a scenario of a selftest script has no kit")],
	tasks: [{}, run("user worker\n")],
	"tasks.NAME.count": [
		[task({ count: 2 }), run("user worker/1\n")],
		[task({ count: 65 }), refuses("the scenario has 65 tasks; a kit has at most 64")],
	],
	"tasks.NAME.calls": [
		[task({}), run("kit 'calls worker klp_target:funcA'")],
		[
			{ ...task({ calls: ["cmdline_proc_show"] }), vmlinux: ["asm/vmlinux/funcs.c", "asm/vmlinux/kernel.c"] },
			says("worker calls cmdline_proc_show of the real vmlinux"),
		],
	],
	"tasks.NAME.sleeps_in": [
		[task({ sleeps_in: "funcA" }), run("kit 'sleeps worker idle funcA lp1_funcA'")],
		[
			{ ...task({ sleeps_in: "cmdline_proc_show" }), vmlinux: ["asm/vmlinux/funcs.c", "asm/vmlinux/kernel.c"] },
			says("worker does not fall asleep in cmdline_proc_show"),
		],
	],
	"tasks.NAME.interruptible": [
		task({ sleeps_in: "funcA", interruptible: true }),
		run("'sleeps worker interruptible funcA"),
	],
	"tasks.NAME.kthread": [task({ kthread: true }), run("kit 'kthread worker'\n")],
	"tasks.NAME.cpu": [
		[task({ cpu: 1 }), run("user worker 1\n")],
		[task({ cpu: 1, kthread: true }), run("kit 'kthread worker 1'\n")],
	],
	"tasks.NAME.fork": [task({ fork: true }), says("does not fork or exit by itself")],
	"tasks.NAME.exit": [task({ exit: true }), says("does not fork or exit by itself")],
	"tasks.NAME.exit_calls": [task({ exit_calls: ["funcA"] }), says("no function is called from do_exit()")],
	"tasks.NAME.idle": [task({ idle: true }), run("kit 'park worker'")],
	steps: [{}, run("\nstep 1 'settle'\n")],
	"steps[].insmod": [[step({ insmod: "lp1" }), run("cmd 'insmod ./lp1.ko'")]],
	"steps[].insmod.module": [step({ insmod: { module: "lp1" } }), run("cmd 'insmod ./lp1.ko'")],
	"steps[].insmod.params": [
		step({ insmod: { module: "lp1", params: { a: "b c" } } }),
		run("insmod ./lp1.ko a='\\''b c'\\'''"),
	],
	"steps[].insmod.params.NAME.pids": [
		step({ insmod: { module: "lp1", params: { pids: { pids: "worker" } } } }),
		run("insmod ./lp1.ko pids=$(pid_of worker)'"),
	],
	"steps[].errno": [step({ insmod: "lp1", errno: "EBUSY" }), COMPARED],
	"steps[].rmmod": [step({ rmmod: "lp1" }), run("cmd 'rmmod lp1'")],
	"steps[].settle": [step("settle"), run("\nsettle\n")],
	"steps[].settle.rounds": [
		step({ settle: { rounds: 5 } }),
		says("rounds is a limit of the emulated machine: it waits for up to 60 s"),
	],
	"steps[].run": [step({ run: 100 }), run("run_for 0.4")],
	"steps[].run.task": [step({ run: { task: "worker" } }), run("run_until_asleep worker")],
	"steps[].run.rounds": [
		[step({ run: { rounds: 100 } }), run("run_for 0.4")],
		[
			step({ run: { task: "worker", rounds: 9 } }),
			says("rounds is a limit of the emulated machine: it waits for up to 20 s"),
		],
	],
	"steps[].sleep": [step({ sleep: 2.5 }), run("\nsleep 2.5\n")],
	"steps[].disable": [step({ disable: "lp1" }), run("cmd 'echo 0 > $KL/lp1/enabled'")],
	"steps[].enable": [step({ enable: "lp1" }), run("cmd 'echo 1 > $KL/lp1/enabled'")],
	"steps[].reverse": [
		[step("reverse"), run("cmd 'echo $(opposite $KL/$(in_transition)/enabled) > $KL/$(in_transition)/enabled'")],
		[step({ reverse: "lp1" }), run("cmd 'echo $(opposite $KL/lp1/enabled) > $KL/lp1/enabled'")],
	],
	"steps[].force": [step({ force: "lp1" }), run("cmd 'echo 1 > $KL/lp1/force'")],
	"steps[].echo": [
		step({ echo: { path: "lp1/enabled", value: 1 } }),
		run("echo 1 > /sys/kernel/livepatch/lp1/enabled'"),
	],
	"steps[].echo.path": [step({ echo: { path: "/dev/kmsg", value: 1 } }), run("> /dev/kmsg'")],
	"steps[].echo.value": [step({ echo: { path: "/dev/kmsg", value: true } }), run("cmd 'echo 1 > /dev/kmsg'")],
	"steps[].echo.errno": [step({ echo: { path: "lp1/enabled", value: 1, errno: "EBUSY" } }), COMPARED],
	"steps[].cat": [step({ cat: "lp1/enabled" }), run("cmd 'cat /sys/kernel/livepatch/lp1/enabled'")],
	"steps[].cat.path": [
		step({ cat: { path: "/proc/worker/patch_state" } }),
		run("cmd 'cat /proc/$(pid_of worker)/patch_state'"),
	],
	"steps[].cat.value": [step({ cat: { path: "lp1/enabled", value: 1 } }), COMPARED],
	"steps[].cat.grep": [step({ cat: { path: "/proc/modules", grep: "lp1" } }), run("cmd 'grep -F lp1 /proc/modules'")],
	"steps[].cat.to": [
		step({ cat: { path: "/proc/modules", to: "/dev/kmsg" } }),
		run("cmd 'cat /proc/modules > /dev/kmsg'"),
	],
	"steps[].stat": [
		step({ stat: { path: "lp1/enabled", rights: "-rw-r--r--" } }),
		run("cmd 'stat -c %A /sys/kernel/livepatch/lp1/enabled'"),
	],
	"steps[].stat.path": [
		step({ stat: { path: "lp1/vmlinux/funcA,1", rights: "drwxr-xr-x" } }),
		run("/sys/kernel/livepatch/lp1/klp_target/funcA,1'"),
	],
	"steps[].stat.rights": [step({ stat: { path: "lp1/enabled", rights: "-rw-r--r--" } }), COMPARED],
	"steps[].sysctl": [step({ sysctl: "kernel.ftrace_enabled=0" }), run("> /proc/sys/kernel/ftrace_enabled'")],
	"steps[].register": [{ ...ops({}), ...step({ register: "probe" }) }, run("cmd 'echo register probe > /proc/klpkit'")],
	"steps[].unregister": [
		{ ...ops({}), ...step({ unregister: "probe" }) },
		run("cmd 'echo unregister probe > /proc/klpkit'"),
	],
	"steps[].modify": [
		{ ...ops({ direct: "direct_tramp" }), ...step({ modify: { ops: "probe", direct: "direct_tramp_orig" } }) },
		run("cmd 'echo modify probe tracers:direct_tramp_orig > /proc/klpkit'"),
	],
	"steps[].modify.ops": [
		{ ...ops({ direct: "direct_tramp" }), ...step({ modify: { ops: "probe", direct: "direct_tramp_orig" } }) },
		run("modify probe "),
	],
	"steps[].modify.direct": [
		{ ...ops({ direct: "direct_tramp" }), ...step({ modify: { ops: "probe", direct: "direct_tramp_stack" } }) },
		run(" tracers:direct_tramp_stack > "),
	],
	"steps[].cpu_up": [step({ cpu_up: 1 }), run("cmd 'echo 1 > /sys/devices/system/cpu/cpu1/online'")],
	"steps[].cpu_down": [step({ cpu_down: 1 }), run("cmd 'echo 0 > /sys/devices/system/cpu/cpu1/online'")],
	"steps[].wake": [step({ wake: "worker" }), run("kit 'wake worker'")],
	"steps[].fork": [fork({}), run("forked worker child\n")],
	"steps[].fork.parent": [fork({}), run("forked worker ")],
	"steps[].fork.child": [fork({}), run("kit 'task child'")],
	"steps[].fork.window": [
		[fork({ window: 5 }), says("window: a kernel does not say what others do in the middle of copy_process()")],
		[
			step({ race: [[{ fork: { parent: "worker", child: "child", window: 5 } }], [{ wake: "worker" }]] }),
			says("window: "),
		],
	],
	"steps[].fork.calls": [fork({ calls: ["funcB"] }), run("kit 'calls child klp_target:funcB'")],
	"steps[].fork.sleeps_in": [
		fork({ calls: ["funcA"], sleeps_in: "funcA" }),
		run("kit 'sleeps child idle funcA lp1_funcA'"),
	],
	"steps[].fork.interruptible": [
		fork({ calls: ["funcA"], sleeps_in: "funcA", interruptible: true }),
		run("kit 'sleeps child interruptible funcA"),
	],
	"steps[].fork.kthread": [
		[fork({ kthread: true }), run("kit 'kthread child'\n")],
		[fork({ kthread: true }), says("child is made by kthreadd")],
	],
	"steps[].fork.cpu": [fork({ cpu: 1 }), run("forked worker child 1\n")],
	"steps[].fork.fork": [fork({ fork: true }), says("does not fork or exit by itself")],
	"steps[].fork.exit": [fork({ exit: true }), says("does not fork or exit by itself")],
	"steps[].fork.exit_calls": [fork({ exit_calls: ["funcA"] }), says("no function is called from do_exit()")],
	"steps[].fork.idle": [fork({ idle: true }), run("kit 'park child'")],
	"steps[].exit": [step({ exit: "worker" }), run("kit 'exit worker'")],
	"steps[].call": [step({ call: { task: "worker", func: "funcA" } }), run("call worker klp_target:funcA\n")],
	"steps[].call.task": [step({ call: { task: "worker", func: "funcA" } }), run("call worker ")],
	"steps[].call.func": [step({ call: { task: "worker", func: "funcB" } }), run("klp_target:funcB\n")],
	"steps[].call.args": [
		step({ call: { task: "worker", func: "funcA", args: [7, -1] } }),
		run("klp_target:funcA 0x7 0xffffffffffffffff\n"),
	],
	"steps[].call.value": [
		[step({ call: { task: "worker", func: "funcA", args: [7], value: 1 } }), COMPARED],
		[
			step({ call: { task: "worker", func: "funcA", value: 1 } }),
			says("value: not compared, for the argument is the task's pid"),
		],
	],
	"steps[].state": [step({ state: "here" }), run("state 'here'")],
	// Only in scenarios of selftest scripts.
	"steps[].test": [
		{ selftest: "x.dmesg", steps: [{ test: "t" }] },
		refuses("a scenario of a selftest script has no kit"),
	],
	"steps[].expect": [expects({ task: "worker", pending: false }), run("# Step 2: expect worker: not pending")],
	"steps[].expect.design": [expects({ design: "mainline", errno: 0 }), COMPARED],
	"steps[].expect.errno": [expects({ errno: 0 }), COMPARED],
	"steps[].expect.dmesg": [expects({ dmesg: ["x"] }), COMPARED],
	"steps[].expect.task": [expects({ task: "worker", pending: false }), COMPARED],
	"steps[].expect.patch_state": [expects({ task: "worker", patch_state: "IDLE" }), COMPARED],
	"steps[].expect.pending": [expects({ task: "worker", pending: false }), COMPARED],
	"steps[].expect.in": [expects({ task: "worker", in: null }), COMPARED],
	"steps[].expect.view": [
		[expects({ task: "worker", view: { funcA: "funcA" } }), COMPARED],
		// It is recorded for functions that no livepatch patches, too.
		[expects({ task: "worker", view: { funcD: "funcD" } }), run("klp_target:funcD'")],
	],
	"steps[].expect.sysfs": [expects({ sysfs: { "lp1/enabled": 1 } }), COMPARED],
	"steps[].expect.func_stacks": [
		expects({ func_stacks: { funcA: [] } }),
		says("func_stacks: no file of a kernel shows"),
	],
	"steps[].expect.calls": [
		{ ...ops({}), ...expects({ calls: { probe: 1 } }) },
		says("calls: recorded, but not compared"),
	],
	"steps[].expect.trace": [expects({ trace: ["x"] }), says("trace: /sys/kernel/tracing/trace is not recorded")],
	"steps[].race": [
		[step({ race: [[{ insmod: "lp1" }], [{ wake: "worker" }]] }), says("one list is made after the other")],
		[step({ race: [[{ insmod: "lp1" }], [{ wake: "worker" }]] }), run("cmd 'insmod ./lp1.ko'\nkit 'wake worker'\n")],
	],
	expect: [{ expect: "violated" }, COMPARED],
	explore: [{ explore: { expect: "violated" } }, COMPARED],
	"explore.expect": [{ explore: { expect: "violated" } }, COMPARED],
	"explore.may_fail": [{ explore: { may_fail: { settle: ["EBUSY"] } } }, COMPARED],
};

test("every key of the schema has a row here, and every row is a key", () => {
	expect(Object.keys(ROWS).sort()).toEqual([...KEYS].sort());
});

function rowsOf(key: string): readonly Row[] {
	const rows = ROWS[key]!;
	return Array.isArray(rows[0]) ? (rows as readonly Row[]) : [rows as Row];
}

async function check(more: Keys, treatment: Treatment): Promise<void> {
	const text = JSON.stringify({ ...BASE, ...more });
	const kit = makeKit(parseScenario(text, "x.yaml"), "mainline");
	if ("refuses" in treatment) {
		await expect(kit).rejects.toMatchObject({
			code: "KIT_UNSUPPORTED",
			message: expect.stringContaining(treatment.refuses),
		});
		return;
	}
	const { files, notes } = await kit;
	if ("does" in treatment) expect(files.get(treatment.in ?? "run.sh")).toContain(treatment.does);
	else {
		const found = notes.find((note) => note.text.includes(treatment.says));
		expect(found, JSON.stringify(notes)).toBeDefined();
		// Who runs the kit sees it in the record, and who reads it in README.md.
		expect(files.get("run.sh")).toContain(treatment.says.replaceAll("'", "'\\''"));
		expect(files.get("README.md")).toContain(treatment.says);
	}
}

describe("each key is done, said or refused", () => {
	test.each(Object.keys(ROWS))("%s", async (key) => {
		for (const [more, treatment] of rowsOf(key)) await check(more, treatment);
	});
});
