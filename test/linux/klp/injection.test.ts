/**
 * Every place that may fail is made to fail, one at a time: in enable, in disable, and when modules come and go. The errno is that of
 * the table, nothing is left behind, and the same thing works at the next try.
 */
import { describe, expect, test } from "vitest";
import { ftrace_ops } from "../../../src/linux/ftrace/index.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";
import { sample } from "../../support/sample.js";
import { kernelState, outcome } from "../../support/state.js";

const [ENOMEM, ENODEV, EINVAL] = [-12, -19, -22];

/** What the kernel makes of a failure at each kind of place: its errno; 0: it goes on without. */
const ERRNO: readonly (readonly [RegExp, number, string])[] = [
	[/^try_module_get\(/, ENODEV, "klp_enable_patch()"],
	[/^kobject_add\(/, ENOMEM, "klp_init_patch(), _object(), _func()"],
	[/^klp_alloc_(object_dynamic|func_nop)/, ENOMEM, "klp_add_nops()"],
	[/^kzalloc\(struct klp_ops\)$/, ENOMEM, "klp_patch_func()"],
	[/^alloc_and_copy_ftrace_hash\(add\)$/, ENOMEM, "ftrace_set_filter_ip()"],
	[/^alloc_and_copy_ftrace_hash\(remove\)$/, 0, "klp_unpatch_func(): WARN_ON(), and the ops goes all the same"],
	[/^alloc_ftrace_hash\(direct_functions\)$/, ENOMEM, "register_ftrace_direct()"],
	[/^alloc_tramp\(/, 0, "create_trampoline(): the site calls ftrace_caller"],
	[/^schedule_on_each_cpu\(/, 0, "klp_synchronize_transition() does not ask"],
	[/^module_memory_alloc\(/, ENOMEM, "load_module()"],
	[/^ftrace_process_locs\(/, 0, "ftrace_module_init(): nothing in the module can be traced"],
	[/^mod_sysfs_setup\(/, ENOMEM, "load_module()"],
	[/^pre_patch\(/, EINVAL, "klp_pre_patch_callback()"],
];

interface Case {
	readonly name: string;
	/** Brings the machine to where the action begins. */
	prepare(machine: TestMachine): void;
	/** The action, up to its end: 0 or a negative errno. */
	act(machine: TestMachine): number;
	/** Errnos that are others than those of the table. */
	readonly other?: readonly (readonly [RegExp, number])[];
}

const replaceA = { old: "funcA", by: "lp1_funcA" };
const MODULE = "mod";
/** lp1 patches two functions of vmlinux and one of a module, with a pre_patch that can fail. */
function insmodLp1(machine: TestMachine, replace = false): number {
	const pre_patch = () => (machine.it.faults.should_fail("pre_patch()") ? EINVAL : 0);
	return machine.insmod("lp1", {
		objects: {
			vmlinux: [replaceA, { old: "funcD", by: "lp1_funcA" }],
			[MODULE]: [{ old: "lp4_funcA", by: "lp1_funcA" }],
		},
		replace,
		callbacks: { pre_patch },
	});
}
function insmodLp2(machine: TestMachine): number {
	return machine.insmod("lp2", {
		objects: {
			vmlinux: [
				{ old: "funcA", by: "lp2_funcA" },
				{ old: "funcB", by: "lp2_funcB" },
			],
			[MODULE]: [{ old: "lp4_funcB", by: "lp2_funcB" }],
		},
	});
}
const settled = (machine: TestMachine, ret: number) => {
	if (ret === 0) machine.settle();
	return ret;
};
const ok = (ret: number) => expect(ret).toBe(0);

const cases: readonly Case[] = [
	{
		name: "enable, with the module loaded",
		prepare: (machine) => ok(machine.insmodPlain(MODULE, "lp4")),
		act: (machine) => settled(machine, insmodLp1(machine)),
	},
	{
		name: "enable, without the module",
		prepare: () => {},
		act: (machine) => settled(machine, insmodLp1(machine)),
	},
	{
		name: "enable on top of another patch",
		prepare: (machine) => {
			ok(machine.insmodPlain(MODULE, "lp4"));
			ok(settled(machine, insmodLp2(machine)));
		},
		act: (machine) => settled(machine, insmodLp1(machine)),
	},
	{
		name: "replace another patch, with nops",
		prepare: (machine) => {
			ok(machine.insmodPlain(MODULE, "lp4"));
			ok(settled(machine, insmodLp2(machine)));
		},
		act: (machine) => settled(machine, insmodLp1(machine, true)),
	},
	{
		name: "load a module that two patches wait for",
		prepare: (machine) => {
			ok(settled(machine, insmodLp2(machine)));
			ok(settled(machine, insmodLp1(machine)));
		},
		act: (machine) => machine.insmodPlain(MODULE, "lp4"),
		// A module without records cannot be patched, and is refused.
		other: [[/^ftrace_process_locs\(mod\)$/, EINVAL]],
	},
	{
		name: "load a module in the middle of a transition",
		prepare: (machine) => {
			machine.sleeper("s", "funcA");
			ok(insmodLp1(machine));
			machine.rounds(3);
			expect(machine.cat("lp1/transition")).toBe("1");
		},
		act: (machine) => machine.insmodPlain(MODULE, "lp4"),
		other: [[/^ftrace_process_locs\(mod\)$/, EINVAL]],
	},
	{
		name: "disable",
		prepare: (machine) => {
			ok(machine.insmodPlain(MODULE, "lp4"));
			ok(settled(machine, insmodLp1(machine)));
		},
		act: (machine) => settled(machine, machine.echo("0", "lp1/enabled")),
	},
	{
		name: "reverse",
		prepare: (machine) => {
			ok(machine.insmodPlain(MODULE, "lp4"));
			machine.sleeper("s", "funcA");
			ok(insmodLp1(machine));
		},
		act: (machine) => settled(machine, machine.echo("0", "lp1/enabled")),
	},
	{
		name: "register a direct function",
		prepare: () => {},
		act: (machine) => {
			const ops = new ftrace_ops("direct", undefined, 0, undefined, 0);
			const ret = machine.ftrace.ftrace_set_filter_ip(ops, machine.site("funcA"), false);
			if (ret !== 0) return ret;
			const direct = machine.ftrace.direct.register_ftrace_direct(ops, machine.addr("untraced"));
			return machine.it.shell.run(direct);
		},
	},
	{
		name: "unload a patched module",
		prepare: (machine) => {
			ok(machine.insmodPlain(MODULE, "lp4"));
			ok(settled(machine, insmodLp1(machine)));
		},
		act: (machine) => machine.it.shell.rmmod(MODULE),
	},
];

/** Records which places the action asks; `failAt`: which one fails, counted from 0. */
async function run(it: Case, failAt: number) {
	const machine = await createTestMachine({ cpu: "jit", hz: 10 });
	machine.task("t", "funcC");
	it.prepare(machine);
	machine.rounds(5);
	const before = kernelState(machine);
	const sites: string[] = [];
	machine.it.faults.should_fail = (site) => sites.push(site) - 1 === failAt;
	const errno = it.act(machine);
	machine.it.faults.should_fail = () => false;
	return { machine, before, sites, errno };
}

describe.each(cases)("$name", (it) => {
	test("[rule 1.6] [rule 6.12] [rule 1.10] each place: the errno, all undone, and the next try works", async () => {
		const clean = await run(it, Number.POSITIVE_INFINITY);
		expect(clean.errno).toBe(0);
		const wanted = outcome(clean.machine);
		clean.machine.close();
		const { sites } = clean;
		const tried = new Map<string, number>();
		for (const [index, site] of sites.entries()) {
			if (site.startsWith("ftrace_verify_code(")) continue;
			const { machine, before, errno } = await run(it, index);
			const known = ERRNO.find(([pattern]) => pattern.test(site));
			const other = it.other?.find(([pattern]) => pattern.test(site))?.[1];
			const expected = other ?? known?.[1];
			expect([site, index, errno]).toEqual([site, index, expected ?? `an errno for ${site}`]);
			if (errno !== 0) {
				expect([site, kernelState(machine)]).toEqual([site, before]);
				expect([site, it.act(machine)]).toEqual([site, 0]);
				machine.rounds(5);
			}
			const warned = site.endsWith("(remove)") ? ["klp_unpatch_func: ftrace_set_filter_ip"] : [];
			expect([site, outcome(machine)]).toEqual([site, { ...wanted, warnings: warned }]);
			tried.set(site, (tried.get(site) ?? 0) + 1);
			machine.close();
		}
		expect(tried.size).toBeGreaterThan(0);
	});
});

/** What is livepatch's and the module loader's own, without ftrace. */
function withoutFtrace(state: Omit<ReturnType<typeof outcome>, "ops" | "called" | "warnings">) {
	const { patches, sysfs, modules, func_stacks, objects, transition, locks } = state;
	return { patches, sysfs, modules, func_stacks, objects, transition, locks };
}

describe.each(cases)("$name", (it) => {
	test("[rule 8.6] each call site in turn has wrong bytes: -ENODEV or done, never partly patched", async () => {
		const clean = await run(it, Number.POSITIVE_INFINITY);
		const wanted = withoutFtrace(outcome(clean.machine));
		clean.machine.close();
		const pokes = [...clean.sites.keys()].filter((index) => clean.sites[index]!.startsWith("ftrace_verify_code("));
		for (const index of sample(pokes, 4)) {
			const { machine, before, errno } = await run(it, index);
			const unchanged = withoutFtrace(before);
			expect([index, errno === ENODEV || errno === 0]).toEqual([index, true]);
			expect([index, withoutFtrace(outcome(machine))]).toEqual([index, errno === 0 ? wanted : unchanged]);
			expect([machine.ftrace.ftrace_disabled, machine.it.dmesg.warnings[0]]).toEqual([true, "ftrace_bug"]);
			machine.close();
		}
		expect(pokes.length).toBeGreaterThan(0);
	});
});

test("every kind of place in the table is met by some action", async () => {
	const met = new Set<string>();
	for (const it of cases) {
		const { sites, machine } = await run(it, Number.POSITIVE_INFINITY);
		for (const site of sites) met.add(ERRNO.find(([pattern]) => pattern.test(site))?.[2] ?? site);
		machine.close();
	}
	for (const [, , where] of ERRNO) expect([...met]).toContain(where);
});

describe("other ways to fail", () => {
	test("[rule 1.3] without /sys/kernel/livepatch: -ENODEV, and not a word", async () => {
		const machine = await createTestMachine({ cpu: "jit", should_fail: (site) => site.includes("livepatch") });
		const before = kernelState(machine);
		expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(ENODEV);
		expect(kernelState(machine)).toEqual(before);
		expect(machine.dmesg("livepatch:")).toEqual([]);
		machine.close();
	});
	test("[rule 1.4] without reliable stacks: two warnings, and tasks can only switch themselves", async () => {
		const machine = await createTestMachine({ cpu: "jit", hz: 10 });
		const asleep = machine.it.tasks.add({ name: "asleep", kthread: true, calls: [], idle: true });
		const busy = machine.task("busy", "funcC");
		Object.assign(machine.klp.env, { klp_have_reliable_stack: false });
		expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
		expect(machine.dmesg("consistency model").concat(machine.dmesg("may never"))).toEqual([
			"livepatch: This architecture doesn't have support for the livepatch consistency model.",
			"livepatch: The livepatch transition may never complete.",
		]);
		machine.rounds(200);
		expect([busy.pending, asleep.pending, machine.cat("lp1/transition")]).toEqual([false, true, "1"]);
		machine.close();
	});
	test("[rule 8.6] unexpected text: -ENODEV, ftrace is disabled permanently, livepatch undoes its changes", async () => {
		const machine = await createTestMachine({ cpu: "jit" });
		const site = machine.site("funcB");
		machine.it.memory.setU8(site + 1, 0x90);
		machine.it.cpu.textChanged(site, 5);
		const before = kernelState(machine);
		expect(
			machine.insmod("lp2", {
				objects: {
					vmlinux: [
						{ old: "funcA", by: "lp2_funcA" },
						{ old: "funcB", by: "lp2_funcB" },
					],
				},
			}),
		).toBe(ENODEV);
		const { patches, sysfs, modules, func_stacks, transition, tasks, locks, ops } = kernelState(machine);
		expect({ patches, sysfs, modules, func_stacks, transition, tasks, locks }).toEqual({
			patches: before.patches,
			sysfs: before.sysfs,
			modules: before.modules,
			func_stacks: [],
			transition: before.transition,
			tasks: before.tasks,
			locks: before.locks,
		});
		// That of funcA cannot be unregistered any more: ftrace refuses to touch anything.
		expect(ops.map(([name]) => name)).toEqual(["funcA"]);
		expect([machine.ftrace.ftrace_disabled, machine.patch("lp1", ["funcA", "lp1_funcA"])]).toEqual([true, ENODEV]);
		expect(machine.it.shell.write("/proc/sys/kernel/ftrace_enabled", "0")).toBe(ENODEV);
		machine.close();
	});
});
