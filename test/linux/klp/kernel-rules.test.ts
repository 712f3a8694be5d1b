/** Rules of livepatch that need guest code of their own, or that are about an order: see docs/rules.yaml. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FTRACE_OPS_FL } from "../../../src/linux/ftrace/index.js";
import { list_del_rcu } from "../../../src/linux/lib/index.js";
import { MAX_STACK_ENTRIES, type task_struct } from "../../../src/linux/sched/index.js";
import { CPU_NAMES } from "../../../src/node/index.js";
import { compileModule, createTestMachine, meaning, type TestMachine } from "../../support/machine.js";

const EBUSY = -16;
const [IDLE, UNPATCHED, PATCHED] = [-1, 0, 1];
const HZ = 20;

const HEAD = `
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/sched.h>
MODULE_LICENSE("GPL");
long weigh(long x);
long funcA(long x);
`;

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, cpus: 2, hz: HZ, kernel: true });
	});
	afterEach(() => {
		expect(machine.it.dmesg.warnings).toEqual([]);
		machine.close();
	});

	const load = async (name: string, text: string) =>
		expect(machine.insmodC(name, await compileModule(name, HEAD + text))).toBe(0);
	/** A kthread that calls a function of a module for ever, and is now in it. */
	const inside = (name: string, func: string): task_struct => {
		const task = machine.it.tasks.add({ name, kthread: true, calls: [machine.addr(func)], cpu: 1 });
		machine.until(() => (machine.it.unwinder.stack_trace_save_tsk_reliable(task) ?? []).length > 3);
		return task;
	};
	/** A task that calls `func`, and is asleep in the body of another function on the way. */
	const asleepIn = (name: string, func: string, body: string): task_struct => {
		const sleepAt = () => [(machine.site(body) + 5) | 0];
		const task = machine.it.tasks.add({ name, kthread: false, calls: [machine.addr(func)], sleepAt });
		machine.until(() => task.held);
		return task;
	};
	const asleepInWeigh = (name: string, func: string): task_struct => asleepIn(name, func, "weigh");
	const lp1 = () => machine.patch("lp1", ["funcA", "lp1_funcA"]);

	describe("cond_resched()", () => {
		const SPIN = `
			static int stop;
			noinline long spin(long x) { while (!READ_ONCE(stop)) { weigh(x); cond_resched(); } return 0; }
			noinline long spin_in_target(long x) { long r = spin(x); barrier(); return r; }
		`.replace("READ_ONCE(stop)", "*(volatile int *)&stop");

		test("[rule 3.12] a kthread that never sleeps switches there, while a transition runs", async () => {
			await load("spinner", SPIN);
			const spinner = inside("spinner", "spin");
			const { nvcsw } = spinner;
			const sleeper = machine.sleeper("s", "funcA");
			expect(machine.klp.transition.klp_sched_try_switch_key).toBe(false);
			lp1();
			expect(machine.klp.transition.klp_sched_try_switch_key).toBe(true);
			machine.until(() => spinner.patch_state === PATCHED);
			expect([spinner.pending, spinner.nvcsw, spinner.__state]).toEqual([false, nvcsw, 0]);
			machine.it.tasks.wake(sleeper);
			machine.settle();
			expect(machine.klp.transition.klp_sched_try_switch_key).toBe(false);
		});
		test("[rule 3.12] but not while it is in a function that is being patched", async () => {
			await load("spinner", SPIN);
			machine.insmod("lp1", { objects: { spinner: [{ old: "spin_in_target", by: "lp1_funcA" }] } });
			machine.settle();
			expect(machine.echo("0", "lp1/enabled")).toBe(0);
			machine.settle();
			expect(machine.it.shell.rmmod("lp1")).toBe(0);
			const spinner = inside("spinner", "spin_in_target");
			machine.insmod("lp1", { objects: { spinner: [{ old: "spin_in_target", by: "lp1_funcA" }] } });
			machine.rounds(3 * HZ);
			expect([spinner.patch_state, machine.cat("lp1/transition")]).toEqual([UNPATCHED, "1"]);
			machine.it.memory.setU32(machine.it.modules.get("spinner")!.image.symbol("stop")!.address, 1);
			machine.until(() => machine.cat("lp1/transition") === "0");
		});
	});

	describe("stacks", () => {
		const DEEP = `
			long depth;
			static noinline long deep(long n) { long r = n > 0 ? deep(n - 1) + 1 : weigh(n); barrier(); return r; }
			noinline long dive(long x) { long r = deep(depth); barrier(); return r; }
		`;
		/** weigh, deep() depth + 1 times, dive, do_syscall_64, entry_SYSCALL_64. */
		const OTHERS = 5;

		test.each([
			[MAX_STACK_ENTRIES - 1, PATCHED],
			[MAX_STACK_ENTRIES, UNPATCHED],
		])(
			"[rule 3.7] %i entries: the task's state is %i then, though no patched function is among them",
			async (entries, state) => {
				await load("diver", DEEP);
				machine.it.memory.setU64(machine.addr("depth"), BigInt(entries - OTHERS));
				const diver = asleepInWeigh("diver", "dive");
				const walk = machine.it.unwinder.walk(diver);
				expect([walk.entries.length, walk.reliable]).toEqual([entries, state === PATCHED]);
				lp1();
				expect(diver.patch_state).toBe(state);
				const words = `livepatch: klp_try_switch_task: diver:${diver.pid} has an unreliable stack`;
				expect(machine.dmesg("unreliable")).toEqual(state === PATCHED ? [] : [words]);
				machine.it.tasks.wake(diver);
				machine.settle();
			},
		);
		test("[rule 3.7] a frame without a row makes the stack unreliable: the task must switch itself", async () => {
			await load(
				"odd",
				`asm(".text\\n.globl odd\\n.type odd, @function\\nodd:\\n\\tpushq %rbx\\n\\tcall weigh\\n\\tpopq %rbx\\n\\tret\\n.size odd, . - odd\\n");`,
			);
			const odd = asleepInWeigh("odd", "odd");
			lp1();
			machine.rounds(3 * HZ);
			expect([odd.patch_state, odd.pending, machine.cat("lp1/transition")]).toEqual([UNPATCHED, true, "1"]);
			machine.it.tasks.wake(odd);
			machine.settle();
			expect(odd.patch_state).toBe(IDLE);
		});
	});

	describe("a transition", () => {
		test("[rule 3.2] all tasks and idle tasks get the old state, then all funcs are marked, nops too", () => {
			machine.insmod("lp2", {
				objects: {
					vmlinux: [{ old: "funcB", by: "lp2_funcB" }],
					later: [{ old: "lp4_funcB", by: "lp2_funcB" }],
				},
			});
			machine.settle();
			const log: [string, boolean, boolean][] = [];
			machine.it.observe({
				point: (label) => {
					if (!label.startsWith("klp_init_transition")) return;
					const funcs = machine.klp.klp_patches.at(-1)!.obj_list.flatMap((obj) => obj.funcs);
					const states = [...machine.it.sched.all()].map((task) => task.patch_state === UNPATCHED);
					log.push([label, states.every(Boolean), funcs.every((func) => func.transition)]);
					expect(funcs.map((func) => [func.old_name, func.nop])).toEqual([
						["funcA", false],
						["funcB", true],
						["lp4_funcB", true],
					]);
				},
			});
			machine.sleeper("s", "funcA");
			machine.insmod("lp1", { objects: { vmlinux: [{ old: "funcA", by: "lp1_funcA" }] }, replace: true });
			expect(log[0]).toEqual(["klp_init_transition: patch_state", true, false]);
			expect(log.at(-1)).toEqual(["klp_init_transition: func->transition", true, true]);
		});
		test("[rule 3.3] only tasks outside of the target state are marked, and the count of tries restarts", () => {
			const sleeper = machine.sleeper("s", "funcA");
			lp1();
			machine.rounds(5 * HZ);
			expect([sleeper.pending, machine.klp.transition.klp_signals_cnt > 4]).toEqual([true, true]);
			const pending = () => [...machine.it.sched.all()].filter((task) => task.pending);
			expect(pending()).toEqual([sleeper]);
			const marked: string[] = [];
			machine.it.observe({
				point: (label) => {
					if (label === "klp_start_transition: TIF_PATCH_PENDING") marked.push(...pending().map(({ comm }) => comm));
				},
			});
			machine.echo("0", "lp1/enabled");
			expect(marked).not.toContain("s");
			expect(new Set(marked)).toContain("kworker/0:1");
			machine.settle();
		});
		test("[rule 3.10] completion: replaced entries, then nops, then marks, then tasks, then post_patch", () => {
			machine.patch("lp2", ["funcA", "lp2_funcA"], ["funcB", "lp2_funcB"]);
			machine.settle();
			const sleeper = machine.sleeper("s", "funcA", "lp2_funcA");
			const { transition } = machine.klp;
			const log: string[] = [];
			const post_patch = () => {
				const idle = [...machine.it.sched.all()].every((task) => task.patch_state === IDLE);
				log.push(`post_patch: tasks idle ${idle}, target ${transition.klp_target_state}`);
			};
			const callbacks = { post_patch };
			machine.insmod("lp1", { objects: { vmlinux: [{ old: "funcA", by: "lp1_funcA" }] }, replace: true, callbacks });
			machine.it.observe({
				point: (label) => {
					const marked = machine.patchOf("lp1").obj_list[0]!.funcs[0]!.transition;
					if (/list_del_rcu|func->transition|KLP_TRANSITION_IDLE|: done/.test(label))
						log.push(`${label}, marked ${marked}`);
				},
			});
			machine.it.tasks.wake(sleeper);
			machine.settle();
			expect(log).toEqual([
				"klp_unpatch_func: list_del_rcu(lp2_funcA), marked true",
				"klp_unpatch_func: list_del_rcu(lp2_funcB), marked true",
				"klp_unpatch_func: list_del_rcu(nop of funcB), marked true",
				"klp_complete_transition: func->transition, marked false",
				"klp_complete_transition: tasks are KLP_TRANSITION_IDLE, marked false",
				"post_patch: tasks idle true, target 1",
				"klp_complete_transition: done, marked false",
			]);
			expect([transition.klp_target_state, transition.klp_transition_patch]).toEqual([IDLE, undefined]);
			// Replaced patches are freed by a work of their own, outside klp_mutex.
			expect([machine.cat("lp2/enabled"), machine.it.modules.get("lp2")!.refcount]).toEqual([-2, 0]);
		});
		test("[rule 3.10] completing an unpatch: entries first, then the marks, then the tasks, then post_unpatch", () => {
			const log: string[] = [];
			const callbacks = { post_unpatch: () => void log.push("post_unpatch") };
			machine.insmod("lp1", { objects: { vmlinux: [{ old: "funcA", by: "lp1_funcA" }] }, callbacks });
			machine.settle();
			const func = machine.patchOf("lp1").obj_list[0]!.funcs[0]!;
			machine.it.observe({
				point: (label) => {
					if (/list_del_rcu|complete_transition: (func|tasks)|: done/.test(label))
						log.push(`${label}, ${func.transition}`);
				},
			});
			machine.echo("0", "lp1/enabled");
			machine.settle();
			expect(log).toEqual([
				"klp_unpatch_func: list_del_rcu(lp1_funcA), true",
				"klp_complete_transition: func->transition, false",
				"klp_complete_transition: tasks are KLP_TRANSITION_IDLE, false",
				"post_unpatch",
				"klp_complete_transition: done, false",
			]);
		});
		test("[rule 2.10] the last entry: the handler is detached before the entry leaves func_stack", () => {
			lp1();
			machine.settle();
			const order: string[] = [];
			machine.it.observe({
				point: (label) => {
					const registered = [...machine.ftrace.ftrace_ops_list].length;
					if (label.includes("list_del_rcu") || label.includes("remove_ftrace_ops")) {
						order.push(`${label}: ${registered} ops, func_stack [${machine.func_stack("funcA")}]`);
					}
				},
			});
			machine.echo("0", "lp1/enabled");
			machine.settle();
			expect(order).toEqual([
				"__unregister_ftrace_function: remove_ftrace_ops: 0 ops, func_stack [lp1_funcA]",
				"klp_unpatch_func: list_del_rcu(lp1_funcA): 0 ops, func_stack []",
			]);
		});
		test("[rule 3.6] an object that is not patched is not looked for on stacks", async () => {
			await load("late", "noinline long late(long x) { long r = weigh(x); barrier(); return r; }");
			const sleeper = machine.sleeper("s", "funcA");
			const inLate = asleepInWeigh("in-late", "late");
			machine.insmod("lp1", {
				objects: { vmlinux: [{ old: "funcA", by: "lp1_funcA" }], late: [{ old: "late", by: "lp1_funcA" }] },
			});
			expect([machine.cat("lp1/late/patched"), inLate.patch_state]).toEqual(["1", UNPATCHED]);
			const obj = machine.patchOf("lp1").obj_list.find(({ name }) => name === "late")!;
			machine.rounds(2 * HZ);
			expect(inLate.patch_state).toBe(UNPATCHED);
			// As it is while the module goes: its text is not to be called any more.
			obj.patched = false;
			machine.rounds(2 * HZ);
			expect([inLate.patch_state, sleeper.patch_state]).toEqual([PATCHED, UNPATCHED]);
			obj.patched = true;
			machine.it.tasks.wake(inLate);
			machine.it.tasks.wake(sleeper);
			machine.settle();
		});
		test("[rule 3.16] a task that exits holds nothing up", () => {
			const sleeper = machine.sleeper("s", "funcA");
			lp1();
			machine.rounds(2 * HZ);
			expect(machine.cat("lp1/transition")).toBe("1");
			machine.it.tasks.exit(sleeper);
			machine.settle();
			expect([machine.it.sched.find("s"), machine.cat("lp1/transition")]).toEqual([undefined, "0"]);
		});
		test("[rule 4.8] disable: pre_unpatch of patched objects, then all tasks are marked, then enabled is 0", () => {
			const log: string[] = [];
			const callbacks = { pre_unpatch: () => void log.push("pre_unpatch") };
			machine.insmod("lp1", {
				objects: { vmlinux: [{ old: "funcA", by: "lp1_funcA" }], absent: [{ old: "x", by: "lp1_funcA" }] },
				callbacks,
			});
			machine.settle();
			machine.it.observe({
				point: (label) => {
					if (/init_transition: patch|TIF_PATCH|cond_resched/.test(label)) {
						log.push(`${label.split(": ")[1]}, enabled ${machine.cat("lp1/enabled")}`);
					}
				},
			});
			machine.echo("0", "lp1/enabled");
			const marks = log.filter((line) => line.startsWith("TIF"));
			expect(log.filter((line) => !line.startsWith("TIF"))).toEqual([
				"patch_state, enabled 1",
				"pre_unpatch",
				"klp_cond_resched_enable, enabled 1",
			]);
			expect([marks.length > 1, machine.cat("lp1/enabled")]).toEqual([true, "0"]);
			expect(machine.patch("lp2", ["funcB", "lp2_funcB"])).toBe(machine.cat("lp1/transition") === "1" ? EBUSY : 0);
			machine.settle();
		});
	});

	test("a hole in mainline: a task preempted behind the handler does not have the new function on its stack", () => {
		const task = machine.it.tasks.add({
			name: "t",
			kthread: false,
			calls: [machine.addr("funcA")],
			sleepAt: () => [(machine.site("lp1_funcA") + 5) | 0],
		});
		task.slept = true;
		lp1();
		machine.settle();
		// Behind the call of the handler, in front of the copy of the RIP slot to the return address.
		const { trampoline } = machine.klp.patching.klp_find_ops(machine.addr("funcA"))!.fops;
		const chosen = () => {
			if (task.mode !== "kernel" || task.on_cpu >= 0) return false;
			const offset = Number(BigInt.asIntN(32, task.regs.rip)) - trampoline;
			return offset > 0 && offset < 4096 && machine.it.memory.u8((trampoline + offset - 5) | 0) === 0xe8;
		};
		for (const name of ["a", "b", "c"]) machine.task(name, "funcD");
		machine.until(chosen, 200_000);
		task.slept = false;
		const names = machine.it.unwinder
			.stack_trace_save_tsk_reliable(task)!
			.map((ip) => machine.it.symbolize(ip).replace(/\+.*/, ""));
		expect(names).toEqual(["ftrace_trampoline[funcA]", "funcA", "do_syscall_64", "entry_SYSCALL_64"]);
		machine.echo("0", "lp1/enabled");
		// Switched as one that is not in lp1_funcA, which it will run all the same.
		expect([task.patch_state, task.pending]).toEqual([UNPATCHED, false]);
		machine.until(() => task.held);
		expect(machine.it.symbolize(Number(BigInt.asIntN(32, task.regs.rip)))).toMatch(/^lp1_funcA/);
		machine.settle();
		// It sleeps, so that synchronize_rcu_tasks() does not wait for it, and the module can go.
		expect(machine.it.shell.rmmod("lp1")).toBe(0);
		machine.it.tasks.wake(task);
		machine.until(() => task.oops !== undefined);
		expect(task.oops).toMatch(/page fault/);
	});

	test("a hole in mainline: a later patch replaces functions of a forced patch that tasks are in", () => {
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		const sleeper = machine.sleeper("s", "funcA", "lp1_funcA");
		machine.patch("lp2", ["funcA", "lp2_funcA"]);
		expect(machine.echo("1", "lp2/force")).toBe(0);
		machine.settle();
		// lp3's nop looks for lp2_funcA, the entry below it; nobody looks for lp1_funcA any more.
		machine.insmod("lp3", { objects: { vmlinux: [{ old: "funcB", by: "lp3_funcB" }] }, replace: true });
		machine.settle();
		expect([machine.klp.klp_patches.map(({ name }) => name), machine.it.shell.rmmod("lp1")]).toEqual([["lp3"], 0]);
		machine.it.tasks.wake(sleeper);
		machine.until(() => sleeper.oops !== undefined);
		expect(sleeper.oops).toMatch(/page fault/);
	});

	describe("the handler", () => {
		const b4 = (x: number) => 1000 * x + 4200 + meaning.weigh(x);

		test("[rule 2.8] an UNPATCHED task gets the entry directly below the one in transition", () => {
			machine.patch("lp1", ["funcB", "lp1_funcA"]);
			machine.settle();
			machine.patch("lp4", ["funcB", "lp4_funcB"]);
			machine.settle();
			// In funcA, called by funcC, which calls funcB next.
			const task = asleepIn("t", "funcC", "funcA");
			const results: number[] = [];
			machine.it.observe({ call: (caller, _func, value) => caller === task && results.push(Number(value)) });
			machine.patch("lp2", ["funcA", "lp2_funcA"], ["funcB", "lp2_funcB"]);
			expect(machine.func_stack("funcB")).toEqual(["lp2_funcB", "lp4_funcB", "lp1_funcA"]);
			expect(task.patch_state).toBe(UNPATCHED);
			machine.it.tasks.wake(task);
			machine.until(() => results.length > 0);
			expect(results[0]).toBe(meaning.funcA(task.pid) + b4(task.pid + 1));
			machine.settle();
		});
		test("[rule 2.8] below the last entry lies the original", () => {
			const task = asleepIn("t", "funcC", "funcA");
			const results: number[] = [];
			machine.it.observe({ call: (caller, _func, value) => caller === task && results.push(Number(value)) });
			machine.patch("lp2", ["funcA", "lp2_funcA"], ["funcB", "lp2_funcB"]);
			machine.it.tasks.wake(task);
			machine.until(() => results.length > 0);
			expect(results[0]).toBe(meaning.funcA(task.pid) + meaning.funcB(task.pid + 1, task.pid));
			machine.settle();
		});
		test("[rule 2.9] a nop is the original for tasks that have switched", () => {
			const task = machine.task("t", "untraced");
			machine.patch("lp2", ["funcA", "lp2_funcA"], ["funcB", "lp2_funcB"]);
			machine.settle();
			const sleeper = machine.sleeper("s", "funcB", "lp2_funcB");
			machine.insmod("lp3", { objects: { vmlinux: [{ old: "funcB", by: "lp3_funcB" }] }, replace: true });
			machine.until(() => task.patch_state === PATCHED);
			expect(machine.func_stack("funcA")).toEqual(["nop", "lp2_funcA"]);
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid));
			machine.it.tasks.wake(sleeper);
			machine.settle();
		});
		const warned = (what: string) => {
			expect(machine.it.dmesg.warnings).toEqual([what]);
			machine.it.dmesg.warnings.length = 0;
		};
		test("[rule 2.6] without any entry it warns, and the original runs", () => {
			const task = machine.task("t", "untraced");
			lp1();
			machine.settle();
			const ops = machine.klp.patching.klp_find_ops(machine.addr("funcA"))!;
			list_del_rcu(ops.func_stack.next);
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid));
			warned("klp_ftrace_handler: !func");
		});
		test("[rule 2.7] with an entry in transition and an IDLE task it warns, and takes the new entry", () => {
			const task = machine.task("t", "untraced");
			lp1();
			machine.settle();
			machine.patchOf("lp1").obj_list[0]!.funcs[0]!.transition = true;
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid, 1100));
			warned("klp_ftrace_handler: patch_state == KLP_TRANSITION_IDLE");
		});
	});

	test("[rule 3.1] [rule 4.6] /proc/PID/patch_state: -1, 0 and 1", () => {
		const sleeper = machine.sleeper("s", "funcA");
		const other = machine.task("o", "untraced");
		const states = () => [sleeper, other].map(({ pid }) => machine.it.shell.read(`/proc/${pid}/patch_state`));
		expect(states()).toEqual(["-1\n", "-1\n"]);
		lp1();
		machine.until(() => !other.pending);
		expect(states()).toEqual(["0\n", "1\n"]);
		machine.it.tasks.wake(sleeper);
		machine.settle();
		expect(states()).toEqual(["-1\n", "-1\n"]);
		expect(machine.it.shell.read("/proc/4711/patch_state")).toBe(-2);
	});

	describe("ops of livepatch", () => {
		test("[rule 2.1] [rule 2.2] one for each address, without the registers; func_stack is newest first", async () => {
			machine.patch("lp1", ["funcA", "lp1_funcA"]);
			machine.settle();
			machine.patch("lp2", ["funcA", "lp2_funcA"], ["funcB", "lp2_funcB"]);
			machine.settle();
			const ops = [...machine.klp.patching.klp_ops.values()];
			expect(ops.map(({ old_func }) => machine.it.symbolize(old_func))).toEqual(["funcA+0x0", "funcB+0x0"]);
			expect(machine.func_stack("funcA")).toEqual(["lp2_funcA", "lp1_funcA"]);
			const { DYNAMIC, IPMODIFY, PERMANENT, ENABLED, ALLOC_TRAMP } = FTRACE_OPS_FL;
			for (const { fops } of ops) expect(fops.flags).toBe(DYNAMIC | IPMODIFY | PERMANENT | ENABLED | ALLOC_TRAMP);
		});
		test("[rule 2.4] the entry is on func_stack before the handler can be called for it", () => {
			const seen: string[][] = [];
			machine.it.observe({
				point: (label) => {
					if (label.includes("add_ftrace_ops")) seen.push(machine.func_stack("funcA"));
				},
			});
			lp1();
			expect(seen).toEqual([["lp1_funcA"]]);
			machine.settle();
			expect(machine.call(machine.task("t", "untraced"), "funcA")).toBe(
				meaning.funcA(machine.it.sched.find("t")!.pid, 1100),
			);
		});
	});
});
