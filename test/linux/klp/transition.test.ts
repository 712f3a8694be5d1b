/** Who switches when: kernel exits, the retry worker and its signals, idle tasks, forks, reversal, force. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
	KLP_TRANSITION_IDLE as IDLE,
	KLP_TRANSITION_PATCHED as PATCHED,
	KLP_TRANSITION_UNPATCHED as UNPATCHED,
} from "../../../src/linux/klp/index.js";
import { isReady } from "../../../src/linux/lib/index.js";
import { TIF_NOTIFY_SIGNAL } from "../../../src/linux/sched/index.js";
import { createTestMachine, meaning, type TestMachine } from "../../support/machine.js";

const [EBUSY, EINVAL, EWOULDBLOCK] = [-16, -22, -11];
const HZ = 10;

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine({ hz: HZ });
});
afterEach(() => {
	expect(machine.it.dmesg.warnings).toEqual([]);
	machine.close();
});

/** Jiffies of the tries that the worker makes from now on, for so many rounds. */
function triesWithin(rounds: number): number[] {
	const tries: number[] = [];
	const { transition } = machine.klp;
	const original = transition.klp_try_complete_transition.bind(transition);
	transition.klp_try_complete_transition = () => {
		tries.push(machine.it.sched.jiffies);
		return original();
	};
	machine.rounds(rounds);
	transition.klp_try_complete_transition = original;
	return tries;
}

test("loops over all tasks hold tasklist_lock, but not for idle tasks", () => {
	const { sched } = machine.it;
	machine.sleeper("s", "funcA");
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	const { transition } = machine.klp;
	for (const code of [
		transition.klp_start_transition(),
		transition.klp_try_complete_transition(),
		transition.klp_force_transition(),
	]) {
		const seen = new Map<string, boolean>();
		for (const point of code) {
			if (typeof point === "string" || point.kind !== "place") continue;
			seen.set(String(point.at[0]).replace(/[0-9]+$/, ""), sched.tasklist_lock);
		}
		expect(seen.get("s")).toBe(true);
		expect(seen.get("swapper/")).toBe(false);
		expect(sched.tasklist_lock).toBe(false);
	}
});

describe("func_stack", () => {
	test("[rule 2.1] is a stack: the patch that came last is first, and each disable takes off its own", () => {
		const stack = () => machine.func_stack("funcA");
		const task = machine.task("t", "untraced");
		const { pid } = task;
		const seen: [string[], number][] = [];
		const look = () => seen.push([stack(), machine.call(task, "funcA")]);
		for (const [source, by] of [
			["lp1", "lp1_funcA"],
			["lp2", "lp2_funcA"],
			["lp4", "lp4_funcA"],
		] as const) {
			expect(machine.patch(source, ["funcA", by])).toBe(0);
			machine.settle();
			look();
		}
		for (const name of ["lp2", "lp4", "lp1"]) {
			expect(machine.echo("0", `${name}/enabled`)).toBe(0);
			machine.settle();
			look();
		}
		expect(seen).toEqual([
			[["lp1_funcA"], meaning.funcA(pid, 1100)],
			[["lp2_funcA", "lp1_funcA"], meaning.funcA(pid, 2100)],
			[["lp4_funcA", "lp2_funcA", "lp1_funcA"], meaning.funcA(pid, 4100)],
			[["lp4_funcA", "lp1_funcA"], meaning.funcA(pid, 4100)],
			[["lp1_funcA"], meaning.funcA(pid, 1100)],
			[[], meaning.funcA(pid, 100)],
		]);
	});
	test("[rule 1.13] [rule 3.21] replace: older entries and nops are removed after the transition", () => {
		machine.patch("lp2", ["funcA", "lp2_funcA"], ["funcB", "lp2_funcB"]);
		machine.settle();
		const sleeper = machine.sleeper("s", "funcA", "lp2_funcA");
		machine.insmod("lp1", { objects: { vmlinux: [{ old: "funcA", by: "lp1_funcA" }] }, replace: true });
		expect([machine.func_stack("funcA"), machine.func_stack("funcB")]).toEqual([
			["lp1_funcA", "lp2_funcA"],
			["nop", "lp2_funcB"],
		]);
		expect(machine.klp.sysfs.functions(machine.patchOf("lp1").obj_list[0]!)).toEqual(["funcA,1", "funcB,1"]);
		machine.it.tasks.wake(sleeper);
		machine.settle();
		expect([machine.func_stack("funcA"), machine.func_stack("funcB")]).toEqual([["lp1_funcA"], []]);
		expect(machine.klp.sysfs.functions(machine.patchOf("lp1").obj_list[0]!)).toEqual(["funcA,1"]);
		expect([machine.cat("lp2/enabled"), machine.it.modules.get("lp2")?.refcount]).toEqual([-2, 0]);
	});
});

describe("while a task sleeps in the function", () => {
	test("[rule 3.4] [rule 3.5] [rule 3.11] the sleeper switches after the old function, other tasks at once", () => {
		const sleeper = machine.sleeper("s", "funcA");
		const other = machine.task("o", "untraced");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.rounds(3 * HZ);
		expect([sleeper.patch_state, sleeper.pending]).toEqual([UNPATCHED, true]);
		expect([other.patch_state, other.pending]).toEqual([PATCHED, false]);
		expect(machine.call(other, "funcA")).toBe(meaning.funcA(other.pid, 1100));
		expect(machine.dmesg("s:").at(-1)).toBe(
			`livepatch: klp_try_switch_task: s:${sleeper.pid} is sleeping on function funcA`,
		);
		const results: bigint[] = [];
		machine.it.observe({
			call: (task, _func, result) => {
				if (task === sleeper) results.push(result);
			},
		});
		machine.it.tasks.wake(sleeper);
		machine.settle();
		machine.until(() => results.length >= 2);
		expect(results.slice(0, 2).map(Number)).toEqual([meaning.funcA(sleeper.pid), meaning.funcA(sleeper.pid, 1100)]);
		expect([...machine.it.sched.all()].map(({ patch_state }) => patch_state)).toEqual(
			[...machine.it.sched.all()].map(() => IDLE),
		);
	});
	test("[rule 3.5] unpatching waits for a sleeper in the new function, not for one in the old", () => {
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		const sleeper = machine.it.tasks.add({
			name: "s",
			kthread: false,
			calls: [machine.addr("funcA")],
			sleepAt: () => [(machine.site("lp1_funcA") + 5) | 0],
		});
		machine.until(() => sleeper.held);
		expect(machine.echo("0", "lp1/enabled")).toBe(0);
		machine.rounds(5 * HZ);
		expect([sleeper.patch_state, machine.cat("lp1/transition")]).toEqual([PATCHED, "1"]);
		machine.it.tasks.wake(sleeper);
		machine.settle();
		expect(machine.func_stack("funcA")).toEqual([]);
	});
	test("[rule 3.5] a stacked patch only minds the entry right below it", () => {
		const sleeper = machine.sleeper("s", "funcA");
		const { klp } = machine;
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.echo("1", "lp1/force");
		machine.settle();
		// The forced sleeper is still in the original, which lp2 does not replace: lp1_funcA is what it takes the place of.
		machine.patch("lp2", ["funcA", "lp2_funcA"]);
		machine.until(() => klp.transition.klp_transition_patch === undefined);
		expect(sleeper.held).toBe(true);
	});
	test("[rule 1.9] [rule 4.8] another livepatch: enable and disable of an older one are -EBUSY, no change", () => {
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		machine.sleeper("s", "funcB");
		machine.patch("lp2", ["funcB", "lp2_funcB"]);
		expect(machine.cat("lp2/transition")).toBe("1");
		expect(machine.patch("lp3", ["funcA", "lp3_funcB"])).toBe(EBUSY);
		expect(machine.echo("0", "lp1/enabled")).toBe(EBUSY);
		expect([machine.cat("lp1/enabled"), machine.cat("lp2/transition"), machine.cat("lp3/enabled")]).toEqual([
			"1",
			"1",
			-2,
		]);
	});
});

describe("the worker", () => {
	test("[rule 3.8] tries once a second, and signals at each 15th repetition, with one message", () => {
		const sleeper = machine.sleeper("s", "funcA");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		const start = machine.it.sched.jiffies;
		const signals: number[] = [];
		Object.assign(machine.it.sched, { set_notify_signal: () => signals.push(machine.it.sched.jiffies - start) });
		const tries = triesWithin(46 * HZ).map((jiffies) => jiffies - start);
		expect(tries).toEqual(Array.from({ length: 46 }, (_, index) => (index + 1) * HZ));
		expect(signals).toEqual([15 * HZ, 30 * HZ, 45 * HZ]);
		expect(machine.dmesg("signaling")).toEqual(["livepatch: signaling remaining tasks"]);
		expect(sleeper.pending).toBe(true);
	});
	test("[rule 3.3] [rule 3.8] a new transition counts from 0; so does a reversed one", () => {
		machine.sleeper("s", "funcA");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.rounds(16 * HZ);
		expect(machine.dmesg("signaling")).toHaveLength(1);
		machine.echo("0", "lp1/enabled");
		expect(machine.klp.transition.klp_signals_cnt).toBe(0);
		machine.settle();
	});
	test("[rule 3.17] the signal sets TIF_NOTIFY_SIGNAL of a user task and wakes an interruptible kthread", () => {
		const user = machine.sleeper("user", "funcA");
		const kthread = machine.kthread("kthread", "funcA");
		const { it } = machine;
		machine.until(() => kthread.__state !== 0);
		kthread.wakeAt = Number.POSITIVE_INFINITY;
		// Inside of a patched function as far as livepatch can tell: it cannot be switched from outside.
		it.unwinder.substitute((task) => (task === kthread ? [machine.addr("funcA") + 1] : it.unwinder.walk(task).entries));
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.rounds(15 * HZ - 1);
		expect([user.thread_flags & TIF_NOTIFY_SIGNAL, kthread.__state]).toEqual([0, 1]);
		machine.rounds(1);
		expect([user.thread_flags & TIF_NOTIFY_SIGNAL, kthread.__state]).toEqual([TIF_NOTIFY_SIGNAL, 0]);
		it.tasks.wake(user);
		machine.until(() => user.mode === "user");
		expect(user.thread_flags & TIF_NOTIFY_SIGNAL).toBe(0);
	});
	test("[rule 3.4] switches a kthread that sleeps outside, and a task whose stack is unreliable never", () => {
		const kthread = machine.kthread("k", "funcA");
		machine.until(() => kthread.__state !== 0);
		kthread.wakeAt = Number.POSITIVE_INFINITY;
		machine.sleeper("s", "funcA");
		const odd = machine.kthread("odd", "funcB");
		machine.until(() => odd.__state !== 0);
		odd.wakeAt = Number.POSITIVE_INFINITY;
		const { unwinder } = machine.it;
		unwinder.substitute((task) => (task === odd ? undefined : unwinder.walk(task).entries));
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.rounds(2 * HZ);
		expect([kthread.patch_state, kthread.pending]).toEqual([PATCHED, false]);
		expect([odd.patch_state, odd.pending]).toEqual([UNPATCHED, true]);
		expect(machine.dmesg("unreliable").at(-1)).toBe(
			`livepatch: klp_try_switch_task: odd:${odd.pid} has an unreliable stack`,
		);
	});
});

describe("others", () => {
	test("[rule 3.4] a task that is on another CPU is not switched from here, wherever it is", async () => {
		machine.close();
		machine = await createTestMachine({ hz: HZ, cpus: 2 });
		const calls = [machine.addr("funcD")];
		const task = machine.it.tasks.add({ name: "busy", kthread: true, calls, cpu: 1 });
		machine.until(() => task.on_cpu === 1 && task.mode === "kernel" && task.nvcsw > 0);
		expect(machine.it.unwinder.stack_trace_save_tsk_reliable(task)).not.toContain(machine.addr("funcA"));
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		expect([task.patch_state, task.pending]).toEqual([UNPATCHED, true]);
		expect(machine.dmesg("busy")).toEqual([`livepatch: klp_try_switch_task: busy:${task.pid} is running`]);
		// Asleep between its turns, it is.
		machine.until(() => task.patch_state !== UNPATCHED);
		machine.settle();
	});
	test("[rule 3.9] idle tasks switch in the idle loop; those of offline CPUs at once", async () => {
		machine.close();
		machine = await createTestMachine({ hz: HZ, cpus: 3 });
		const { it } = machine;
		it.sched.cpus[2]!.online = false;
		machine.sleeper("s", "funcA");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		expect(it.sched.cpus[2]!.idle.patch_state).toBe(PATCHED);
		machine.rounds(5);
		expect(it.sched.cpus.map(({ idle }) => [idle.patch_state, idle.pending])).toEqual([
			[PATCHED, false],
			[PATCHED, false],
			[PATCHED, false],
		]);
		expect(machine.cat("lp1/transition")).toBe("1");
	});
	test("[rule 3.13] a child is where its parent is, pending or switched; outside of a transition IDLE", () => {
		const parent = machine.sleeper("p", "funcA");
		const calls = [machine.addr("funcA")];
		const fork = (name: string, of = parent) => machine.it.tasks.fork(of, { name, kthread: false, calls });
		const early = fork("early");
		expect([early.patch_state, early.pending]).toEqual([IDLE, false]);
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.rounds(5);
		const late = fork("late");
		expect([late.patch_state, late.pending]).toEqual([UNPATCHED, true]);
		const other = machine.it.sched.find("early")!;
		const switched = fork("switched", other);
		expect([switched.patch_state, switched.pending]).toEqual([PATCHED, false]);
		// A user task that enters the kernel switches when it leaves.
		machine.until(() => late.patch_state === PATCHED && !late.pending);
	});
	test("[rule 3.11] the shell switches when its own system call ends", () => {
		machine.sleeper("s", "funcA");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		expect([machine.it.shell.task.patch_state, machine.it.shell.task.pending]).toEqual([PATCHED, false]);
	});
	test("[rule 3.21] rmmod of a livepatch: -EWOULDBLOCK while it is enabled or in transition, then 0", () => {
		const sleeper = machine.sleeper("s", "funcA");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		expect(machine.it.shell.rmmod("lp1")).toBe(EWOULDBLOCK);
		machine.it.tasks.wake(sleeper);
		machine.settle();
		expect(machine.it.shell.rmmod("lp1")).toBe(EWOULDBLOCK);
		machine.echo("0", "lp1/enabled");
		machine.settle();
		expect(machine.it.shell.rmmod("lp1")).toBe(0);
	});

	test("[rule 3.13] a fork that began before the transition ends with what the parent has then", () => {
		const parent = machine.sleeper("parent", "funcA");
		const fork = machine.it.tasks.copy_process(parent, {
			name: "child",
			kthread: false,
			calls: [machine.addr("funcA")],
		});
		expect(fork.next().value).toBe(`copy_process: dup_task_struct (${IDLE})`);
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		expect([parent.patch_state, parent.pending]).toEqual([UNPATCHED, true]);
		const { value: child } = fork.next();
		expect(child).toMatchObject({ comm: "child", patch_state: UNPATCHED, pending: true });
	});
});

describe("reversal", () => {
	test("[rule 3.14] [rule 3.18] waits for handlers that are half way, before anything is turned round", () => {
		const sleeper = machine.sleeper("s", "funcA");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		const { transition } = machine.klp;
		sleeper.trace_recursion = 1;
		const code = machine.it.klp.sysfs.write("lp1/enabled", "0");
		let step = code.next();
		while (!step.done && isReady(step.value)) step = code.next();
		expect(step.value).toMatchObject({ label: "klp_synchronize_transition" });
		expect([sleeper.pending, machine.cat("lp1/enabled"), transition.klp_target_state]).toEqual([false, "1", PATCHED]);
		sleeper.trace_recursion = 0;
		expect((step.value as { ready(): boolean }).ready()).toBe(true);
		while (!step.done) step = code.next();
		expect(step.value).toBe(0);
		expect([machine.cat("lp1/enabled"), transition.klp_target_state]).toEqual(["0", UNPATCHED]);
	});
	test("[rule 3.14] echo 0 while patching: switched tasks go back, callbacks are not run again", () => {
		const log: string[] = [];
		const callbacks = {
			pre_patch: () => {
				log.push("pre_patch");
				return 0;
			},
			post_patch: () => void log.push("post_patch"),
			pre_unpatch: () => void log.push("pre_unpatch"),
			post_unpatch: () => void log.push("post_unpatch"),
		};
		const sleeper = machine.sleeper("s", "funcA");
		const other = machine.task("o", "untraced");
		machine.insmod("lp1", { objects: { vmlinux: [{ old: "funcA", by: "lp1_funcA" }] }, callbacks });
		machine.rounds(10);
		expect([sleeper.patch_state, other.patch_state]).toEqual([UNPATCHED, PATCHED]);
		expect(machine.echo("0", "lp1/enabled")).toBe(0);
		expect(sleeper.pending).toBe(false);
		machine.settle();
		expect(log).toEqual(["pre_patch", "post_unpatch"]);
		expect(machine.func_stack("funcA")).toEqual([]);
		expect(sleeper.held).toBe(true);
		expect(machine.dmesg("reversing")).toEqual(["livepatch: 'lp1': reversing transition from patching to unpatching"]);
		expect(machine.cat("lp1/enabled")).toBe(-2);
		expect(machine.it.shell.rmmod("lp1")).toBe(0);
	});
	test("[rule 3.14] [rule 4.1] twice: the patch ends enabled, and writes in between have their errno", () => {
		const sleeper = machine.sleeper("s", "funcA");
		const inside = machine.it.tasks.add({
			name: "i",
			kthread: false,
			calls: [machine.addr("funcA")],
			sleepAt: () => [(machine.site("lp1_funcA") + 5) | 0],
		});
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.until(() => inside.held);
		expect(machine.echo("1", "lp1/enabled")).toBe(EINVAL);
		expect(machine.echo("0", "lp1/enabled")).toBe(0);
		expect([sleeper.pending, inside.pending]).toEqual([false, true]);
		machine.rounds(2 * HZ);
		expect(machine.echo("0", "lp1/enabled")).toBe(EINVAL);
		expect([machine.cat("lp1/enabled"), machine.cat("lp1/transition")]).toEqual(["0", "1"]);
		expect(machine.echo("1", "lp1/enabled")).toBe(0);
		expect([sleeper.pending, inside.pending]).toEqual([true, false]);
		machine.it.tasks.wake(sleeper);
		machine.it.tasks.wake(inside);
		machine.settle();
		expect([machine.cat("lp1/enabled"), machine.cat("lp1/transition")]).toEqual(["1", "0"]);
		expect(machine.dmesg("reversing").map((line) => line.slice(-23))).toEqual([
			"patching to unpatching".padStart(23),
			"unpatching to patching".padStart(23),
		]);
	});
	test("[rule 3.14] of a disable: the patch stays", () => {
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		const sleeper = machine.it.tasks.add({
			name: "s",
			kthread: false,
			calls: [machine.addr("funcA")],
			sleepAt: () => [(machine.site("lp1_funcA") + 5) | 0],
		});
		machine.until(() => sleeper.held);
		machine.echo("0", "lp1/enabled");
		machine.rounds(HZ);
		expect(machine.echo("1", "lp1/enabled")).toBe(0);
		machine.settle();
		expect([machine.cat("lp1/enabled"), machine.func_stack("funcA")]).toEqual(["1", ["lp1_funcA"]]);
		expect(sleeper.held).toBe(true);
	});
});

describe("force", () => {
	test("[rule 3.15] switches all tasks at once, at any place; the worker completes", () => {
		const sleeper = machine.sleeper("s", "funcA");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		expect(machine.echo("1", "lp1/force")).toBe(0);
		expect([sleeper.patch_state, sleeper.pending, machine.cat("lp1/transition")]).toEqual([PATCHED, false, "1"]);
		expect(machine.dmesg("forcing")).toEqual(["livepatch: forcing remaining tasks to the patched state"]);
		machine.settle();
		expect(machine.patchOf("lp1").forced).toBe(false);
		machine.it.tasks.wake(sleeper);
		machine.rounds(10);
		machine.echo("0", "lp1/enabled");
		machine.settle();
		expect(machine.it.shell.rmmod("lp1")).toBe(0);
	});
	test("[rule 3.20] while unpatching: the module stays for ever", () => {
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		const sleeper = machine.it.tasks.add({
			name: "s",
			kthread: false,
			calls: [machine.addr("funcA")],
			sleepAt: () => [(machine.site("lp1_funcA") + 5) | 0],
		});
		machine.until(() => sleeper.held);
		machine.echo("0", "lp1/enabled");
		machine.echo("1", "lp1/force");
		machine.settle();
		expect(machine.cat("lp1/enabled")).toBe(-2);
		expect([machine.it.modules.get("lp1")!.refcount, machine.it.shell.rmmod("lp1")]).toEqual([1, EWOULDBLOCK]);
		// That is what it is for: the sleeper returns through text that must still be there.
		machine.it.tasks.wake(sleeper);
		machine.until(() => sleeper.mode === "user");
		expect(Number(sleeper.lastResult)).toBe(meaning.funcA(sleeper.pid, 1100));
	});
	test("[rule 3.20] of a cumulative patch: the modules it replaces stay, its own does not", () => {
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		machine.patch("lp3", ["funcB", "lp3_funcB"]);
		machine.settle();
		const sleeper = machine.it.tasks.add({
			name: "s",
			kthread: false,
			calls: [machine.addr("funcA")],
			sleepAt: () => [(machine.site("lp1_funcA") + 5) | 0],
		});
		machine.until(() => sleeper.held);
		machine.insmod("lp2", { objects: { vmlinux: [{ old: "funcA", by: "lp2_funcA" }] }, replace: true });
		machine.echo("1", "lp2/force");
		machine.settle();
		const refcount = (name: string) => machine.it.modules.get(name)!.refcount;
		expect(["lp1", "lp3", "lp2"].map(refcount)).toEqual([1, 1, 1]);
		expect([machine.it.shell.rmmod("lp1"), machine.it.shell.rmmod("lp3")]).toEqual([EWOULDBLOCK, EWOULDBLOCK]);
		machine.it.tasks.wake(sleeper);
		machine.echo("0", "lp2/enabled");
		machine.settle();
		expect(machine.it.shell.rmmod("lp2")).toBe(0);
	});
});

describe("sysfs", () => {
	test("[rule 4.1] [rule 4.2] [rule 4.4] [rule 4.5] [rule 9.1] readable and writable files, and errnos", () => {
		machine.sleeper("s", "funcB");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		machine.patch("lp2", ["funcB", "lp2_funcB"]);
		expect(Object.fromEntries(machine.it.klp.sysfs.entries())).toMatchObject({
			"lp1/enabled": "1",
			"lp1/transition": "0",
			"lp1/replace": "0",
			"lp1/stack_order": "1",
			"lp1/vmlinux/patched": "1",
			"lp2/enabled": "1",
			"lp2/transition": "1",
			"lp2/stack_order": "2",
		});
		expect([machine.cat("nowhere/enabled"), machine.cat("lp1/nothing"), machine.cat("lp1/force")]).toEqual([
			-2, -2, -13,
		]);
		for (const [value, errno] of [
			["2", EINVAL],
			["", EINVAL],
			["1", EINVAL],
			["yes", EINVAL],
			["on", EINVAL],
		] as const) {
			expect([value, machine.echo(value, "lp1/enabled")]).toEqual([value, errno]);
		}
		expect(machine.echo("0", "nowhere/enabled")).toBe(-2);
		for (const file of ["transition", "replace", "stack_order", "vmlinux/patched"]) {
			expect([file, machine.echo("1", `lp1/${file}`)]).toEqual([file, -13]);
		}
	});
	test("[rule 4.3] force: only of the patch in transition; 0 is nothing; nonsense is -EINVAL", () => {
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		machine.sleeper("s", "funcB");
		machine.patch("lp2", ["funcB", "lp2_funcB"]);
		expect([machine.echo("1", "lp1/force"), machine.echo("0", "lp1/force"), machine.echo("x", "lp2/force")]).toEqual([
			EINVAL,
			0,
			EINVAL,
		]);
		expect(machine.echo("0", "lp2/force")).toBe(0);
		expect(machine.it.sched.find("s")!.pending).toBe(true);
	});
	test("[rule 4.7] a disabled patch is gone from sysfs, so that it cannot be enabled again", () => {
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		machine.echo("n", "lp1/enabled");
		machine.settle();
		expect(machine.echo("1", "lp1/enabled")).toBe(-2);
	});
});
