import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { KlpemuError } from "../../../src/base/index.js";
import { Random } from "../../../src/base/index.js";
import type { Kernel, Wait } from "../../../src/linux/lib/index.js";
import {
	Sched,
	synchronize_rcu_tasks,
	TASK_DEAD,
	TASK_IDLE,
	TASK_INTERRUPTIBLE,
	TASK_RUNNING,
	TIF_NOTIFY_SIGNAL,
	type task_struct,
	Workqueue,
	type work_struct,
} from "../../../src/linux/sched/index.js";
import { createTestMachine } from "../../support/machine.js";

const make = (cpus = 1, seed: bigint | number = 1) => new Sched(cpus, new Random(seed), "full");
const user = (sched: Sched, name: string) => {
	const task = sched.add(name, { mode: "user" });
	sched.enqueue(task);
	return task;
};

describe("Random", () => {
	test("numbers are in range and hit all of it; the state is all there is", () => {
		const random = new Random(7);
		const seen = new Set<number>();
		for (let i = 0; i < 1000; i++) seen.add(random.below(10));
		expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
		const copy = new Random(0);
		copy.state = random.state;
		expect([copy.below(1 << 30), copy.below(1 << 30)]).toEqual([random.below(1 << 30), random.below(1 << 30)]);
	});
	test("a seed gives the same numbers for ever, as number and as bigint", () => {
		const first = (seed: bigint | number) => {
			const random = new Random(seed);
			return [random.below(1000), random.below(1000), random.below(1000)];
		};
		expect(first(42n)).toEqual(first(42));
		expect([first(0), first(42)]).toMatchInlineSnapshot(`
			[
			  [
			    658,
			    916,
			    536,
			  ],
			  [
			    576,
			    891,
			    647,
			  ],
			]
		`);
	});
	test("any two 64-bit seeds that differ in one half only give other states", () => {
		const half = fc.bigInt({ min: 0n, max: 0xffffffffn });
		fc.assert(
			fc.property(half, half, half, (a, b, other) => {
				fc.pre(a !== b);
				expect(new Random((a << 32n) | other).state).not.toBe(new Random((b << 32n) | other).state);
				expect(new Random((other << 32n) | a).state).not.toBe(new Random((other << 32n) | b).state);
			}),
		);
	});
});

describe("tasks", () => {
	test("have pids in the order they come, and idle tasks come last with pid 0", () => {
		const sched = make(2);
		for (const name of ["a", "b"]) user(sched, name);
		expect([...sched.all()].map(({ comm, pid }) => [comm, pid])).toEqual([
			["a", 1],
			["b", 2],
			["swapper/0", 0],
			["swapper/1", 0],
		]);
		expect([sched.find("b")?.pid, sched.find("swapper/1")?.idle, sched.find("c")]).toEqual([2, true, undefined]);
	});
	test("a pid is not used again; removing twice is an error", () => {
		const sched = make();
		const a = user(sched, "a");
		sched.remove(a);
		expect([a.__state, user(sched, "b").pid, [...sched.runqueue]]).toEqual([TASK_DEAD, 2, [sched.find("b")]]);
		let code = "";
		try {
			sched.remove(a);
		} catch (error) {
			({ code } = error as KlpemuError);
		}
		expect(code).toBe("NO_SUCH_TASK");
	});
});

describe("the running task", () => {
	test("a CPU without a runnable task is idle", () => {
		const sched = make();
		const [cpu] = sched.cpus;
		expect(sched.pick(cpu!)).toBe(cpu!.idle);
		const a = user(sched, "a");
		expect(sched.pick(cpu!)).toBe(a);
		a.__state = TASK_INTERRUPTIBLE;
		sched.deschedule(a);
		expect([cpu!.curr, a.on_cpu, sched.pick(cpu!)]).toEqual([cpu!.idle, -1, cpu!.idle]);
	});
	test("a sleeping or held task is not enqueued; a pinned one runs on its CPU only", () => {
		const sched = make(2);
		const [one, two] = sched.cpus;
		const [asleep, held, pinned] = ["asleep", "held", "pinned"].map((name) => sched.add(name, { mode: "user" }));
		asleep!.__state = TASK_INTERRUPTIBLE;
		held!.held = true;
		pinned!.pinned = 1;
		for (const task of [asleep, held, pinned]) sched.enqueue(task!);
		expect([...sched.runqueue]).toEqual([pinned]);
		for (let i = 0; i < 20; i++) expect(sched.pick(one!)).toBe(one!.idle);
		expect(sched.pick(two!)).toBe(pinned);
	});
	test("a task that is on one CPU cannot be put on another", () => {
		const sched = make(2);
		const a = user(sched, "a");
		sched.switch_to(sched.cpus[0]!, a);
		expect(() => sched.switch_to(sched.cpus[1]!, a)).toThrow("a is on CPU 0 already");
	});
	test("no task starves: each runnable task gets a good part of the slices", () => {
		const sched = make(2, 99);
		const tasks = ["a", "b", "c", "d", "e"].map((name) => user(sched, name));
		const slices = new Map<task_struct, number>();
		for (let i = 0; i < 1000; i++) {
			for (const cpu of sched.order()) {
				const task = sched.pick(cpu);
				slices.set(task, (slices.get(task) ?? 0) + 1);
			}
		}
		for (const task of tasks) expect(slices.get(task)).toBeGreaterThan(250);
		expect(slices.size).toBe(5);
	});
	test("a slice is 16 to 79 instructions; offline CPUs have no turn", () => {
		const sched = make(3);
		const slices = Array.from({ length: 2000 }, () => sched.slice());
		expect([Math.min(...slices), Math.max(...slices)]).toEqual([16, 79]);
		sched.cpus[1]!.online = false;
		for (let i = 0; i < 20; i++)
			expect(
				sched
					.order()
					.map(({ id }) => id)
					.sort(),
			).toEqual([0, 2]);
	});
	test("whatever happens, a task is on one CPU or in the queue or neither, never twice", () => {
		const operation = fc.record({ kind: fc.constantFrom("pick", "sleep", "wake", "off"), at: fc.nat(4) });
		fc.assert(
			fc.property(fc.array(operation), fc.nat(), (operations, seed) => {
				const sched = make(2, seed);
				const tasks = ["a", "b", "c", "d", "e"].map((name) => user(sched, name));
				for (const { kind, at } of operations) {
					const task = tasks[at]!;
					if (kind === "pick") sched.pick(sched.cpus[at % 2]!);
					else if (kind === "wake") sched.wake_up_state(task, TASK_INTERRUPTIBLE);
					else {
						if (kind === "sleep") task.__state = TASK_INTERRUPTIBLE;
						sched.deschedule(task);
						if (kind === "off") sched.enqueue(task);
					}
					for (const each of tasks) {
						const queued = [...sched.runqueue].filter((other) => other === each).length;
						const running = sched.cpus.filter(({ curr }) => curr === each).length;
						expect([queued + running, running]).toEqual([
							each.__state === TASK_RUNNING ? 1 : 0,
							each.on_cpu >= 0 ? 1 : 0,
						]);
					}
					for (const cpu of sched.cpus) expect(cpu.curr.on_cpu).toBe(cpu.id);
				}
			}),
		);
	});
});

describe("sleep", () => {
	test("wake_up_state wakes from the states it is given, and says whether it did", () => {
		const sched = make();
		const task = sched.add("a", { mode: "user" });
		task.__state = TASK_IDLE;
		expect([sched.wake_up_state(task, TASK_INTERRUPTIBLE), task.__state]).toEqual([false, TASK_IDLE]);
		task.__state = TASK_INTERRUPTIBLE;
		expect([sched.wake_up_state(task, TASK_INTERRUPTIBLE), task.__state]).toEqual([true, TASK_RUNNING]);
		expect(sched.wake_up_state(task, -1)).toBe(false);
		task.__state = TASK_DEAD;
		expect(sched.wake_up_state(task, -1)).toBe(false);
	});
	test("a timer wakes at its jiffy, once", () => {
		const sched = make();
		const task = sched.add("a", { mode: "kernel" });
		task.__state = TASK_INTERRUPTIBLE;
		sched.set_timer(task, 2);
		sched.set_timer(task, 3);
		const states: number[] = [];
		for (let i = 0; i < 4; i++) {
			sched.tick();
			states.push(task.__state);
		}
		expect(states).toEqual([1, 1, 0, 0]);
		expect(task.wakeAt).toBe(Number.POSITIVE_INFINITY);
	});
	test("tasks that wake at the same jiffy do so in pid order; one whose timer was moved does not", () => {
		const sched = make();
		const [a, b, c] = ["a", "b", "c"].map((name) => sched.add(name, { mode: "kernel" }));
		for (const task of [c, a, b]) {
			task!.__state = TASK_INTERRUPTIBLE;
			sched.set_timer(task!, 2);
		}
		sched.set_timer(b!, Number.POSITIVE_INFINITY);
		for (let i = 0; i < 3; i++) sched.tick();
		expect([...sched.runqueue]).toEqual([a, c]);
	});
	test("the fake signal sets its flag, and ends an interruptible sleep only", () => {
		const sched = make();
		const [soft, hard] = ["soft", "hard"].map((name) => sched.add(name, { mode: "user" }));
		soft!.__state = TASK_INTERRUPTIBLE;
		hard!.__state = TASK_IDLE;
		for (const task of [soft, hard]) sched.set_notify_signal(task!);
		expect([soft, hard].map((task) => [task!.thread_flags & TIF_NOTIFY_SIGNAL, task!.__state])).toEqual([
			[TIF_NOTIFY_SIGNAL, TASK_RUNNING],
			[TIF_NOTIFY_SIGNAL, TASK_IDLE],
		]);
	});
});

describe("Workqueue", () => {
	const work = (name: string): work_struct => ({ name, *func(): Kernel<void> {} });
	test("runs work in the order it came, delayed work not before its time", () => {
		const queue = new Workqueue();
		const [now, soon, late] = [work("now"), work("soon"), work("late")];
		queue.schedule_delayed_work(late, 20);
		queue.schedule_delayed_work(soon, 10);
		queue.schedule_work(now);
		expect(queue.next()).toBe(10);
		const taken = (jiffies: number) => queue.take(jiffies)?.name;
		expect([taken(9), taken(9), taken(10), taken(10), taken(25), taken(25)]).toEqual([
			"now",
			undefined,
			"soon",
			undefined,
			"late",
			undefined,
		]);
		expect(queue.next()).toBe(Number.POSITIVE_INFINITY);
	});
	test("work that waits already is not queued again; while it runs, it can be", () => {
		const queue = new Workqueue();
		const one = work("one");
		queue.schedule_work(one);
		queue.schedule_work(one);
		queue.schedule_delayed_work(one, 1);
		expect([queue.take(5), queue.take(5)]).toEqual([one, undefined]);
		queue.schedule_delayed_work(one, 6);
		queue.schedule_delayed_work(one, 3);
		expect([queue.take(5), queue.take(6)]).toEqual([undefined, one]);
	});
});

test("[rule 3.9] an idle CPU that is not woken never switches: wake_up_if_idle() is needed", async () => {
	const machine = await createTestMachine({ cpus: 2 });
	machine.it.sched.wake_up_if_idle = () => {};
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	expect(machine.it.settle(100)).toBe(false);
	expect(machine.it.sched.cpus.map(({ idle }) => idle.pending)).toEqual([false, true]);
	machine.close();
});

test("[rule 3.22] a task that left the task list in do_exit() is in no transition; its last calls", async () => {
	const machine = await createTestMachine();
	const [funcA, funcB] = [machine.addr("funcA"), machine.addr("funcB")];
	const task = machine.it.tasks.add({ name: "leaver", kthread: false, calls: [funcB], exitCalls: [funcA] });
	const called: number[] = [];
	machine.it.observe({ call: (caller, func) => void (caller === task && called.push(func)) });
	machine.until(() => called.length > 2);
	machine.it.tasks.exit(task);
	expect([machine.it.sched.tasks.includes(task), machine.it.sched.exiting]).toEqual([false, [task]]);
	called.length = 0;
	expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
	expect([task.patch_state, task.pending]).toEqual([-1, false]);
	machine.settle();
	machine.until(() => machine.it.sched.exiting.length === 0);
	expect([called, task.__state, task.stack]).toEqual([[funcA], TASK_DEAD, undefined]);
	machine.close();
});

test("[rule 6.18] RCU tasks waits for a task in do_exit() that the task list no longer has", async () => {
	const machine = await createTestMachine();
	const task = machine.it.tasks.add({ name: "leaver", kthread: false, calls: [], exitCalls: [machine.addr("funcA")] });
	machine.it.tasks.exit(task);
	machine.until(() => task.mode === "kernel");
	const waits = [...synchronize_rcu_tasks(machine.it.sched, "grace period")].filter(
		(point) => typeof point !== "string" && point.kind === "wait",
	);
	const ends = waits.at(-1) as Wait;
	expect(ends.ready()).toBe(false);
	machine.until(() => task.__state === TASK_DEAD);
	expect(ends.ready()).toBe(true);
	machine.close();
});

test("RCU tasks looks at tasks that come while it does, and not at those that go", async () => {
	const machine = await createTestMachine();
	const { sched, tasks } = machine.it;
	const [first, second] = [machine.task("first", "funcA"), machine.task("second", "funcA")];
	const looked: (string | number | boolean)[] = [];
	for (const point of synchronize_rcu_tasks(sched, "grace period")) {
		if (typeof point === "string" || point.kind !== "place") continue;
		looked.push(...point.at);
		if (!point.at.includes(first.comm)) continue;
		// The list is shorter before the task that has its turn, and has a new one behind it.
		tasks.exit(second);
		tasks.exit(first);
		machine.task("late", "funcA");
	}
	expect(looked.filter((name) => ["first", "second", "late"].includes(String(name)))).toEqual(["first", "late"]);
	expect(new Set(looked).size).toBe(looked.length);
	machine.close();
});
