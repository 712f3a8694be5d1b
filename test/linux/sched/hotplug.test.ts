/** CPUs that come and go, and idle tasks that sleep until somebody wakes them. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

const [EPERM, ENOENT, EACCES, EINVAL] = [-1, -2, -13, -22];
const [IDLE, UNPATCHED, PATCHED] = [-1, 0, 1];

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine({ cpus: 4, hz: 20 });
});
afterEach(() => {
	expect(machine.it.dmesg.warnings).toEqual([]);
	machine.close();
});

const online = (value: string, cpu: number) =>
	machine.it.shell.write(`/sys/devices/system/cpu/cpu${cpu}/online`, value);
const idle = (cpu: number) => machine.it.sched.cpus[cpu]!.idle;

test("tasks on the CPU continue elsewhere, bound tasks too, with a message", () => {
	const calls = [machine.addr("funcD")];
	const bound = machine.it.tasks.add({ name: "bound", kthread: false, calls, cpu: 1 });
	const kthread = machine.it.tasks.add({ name: "kbound", kthread: true, calls, cpu: 1 });
	machine.until(() => bound.on_cpu === 1);
	expect(online("0", 1)).toBe(0);
	expect([bound.on_cpu, bound.pinned, kthread.pinned, machine.it.sched.cpus[1]!.curr.comm]).toEqual([
		-1,
		-1,
		-1,
		"swapper/1",
	]);
	expect(machine.dmesg("cpu1")).toEqual([`process ${bound.pid} (bound) no longer affine to cpu1`]);
	expect(machine.dmesg("smpboot")).toEqual(["smpboot: CPU 1 is now offline"]);
	machine.until(() => bound.on_cpu >= 0);
	for (let i = 0; i < 50; i++) {
		machine.it.round();
		expect(machine.it.sched.cpus[1]!.curr).toBe(idle(1));
	}
	expect(online("1", 1)).toBe(0);
	machine.until(() => bound.on_cpu === 1 || kthread.on_cpu === 1);
});
test("files: which are online; the first cannot go; nonsense is -EINVAL", () => {
	const list = () => machine.it.shell.read("/sys/devices/system/cpu/online");
	expect([online("0", 0), online("0", 7), online("x", 1), list()]).toEqual([ENOENT, ENOENT, EINVAL, "0-3\n"]);
	expect([online("0", 1), online("0", 1), list()]).toEqual([0, 0, "0,2-3\n"]);
	expect([
		online("0", 2),
		online("0", 3),
		list(),
		machine.it.shell.write("/sys/devices/system/cpu/online", "1"),
	]).toEqual([0, 0, "0\n", EACCES]);
	expect(machine.it.shell.read("/sys/devices/system/cpu/cpu2/online")).toBe("0\n");
	const { hotplug } = machine.it;
	const run = (code: ReturnType<typeof hotplug.cpu_up>) => machine.it.shell.run(code);
	expect([run(hotplug.cpu_down(0)), run(hotplug.cpu_down(9)), run(hotplug.cpu_up(9))]).toEqual([EPERM, EINVAL, EINVAL]);
	expect([run(hotplug.cpu_up(2)), run(hotplug.cpu_up(2)), list()]).toEqual([0, 0, "0,2\n"]);
});
test("[rule 3.9] in a transition: the idle task of an offline CPU switches at once, others on wake-up", () => {
	machine.sleeper("s", "funcA");
	online("0", 3);
	machine.rounds(3);
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	// CPU 0 ran the shell: its idle task was not on the CPU, and could be switched like a sleeping one.
	expect([0, 1, 2, 3].map((cpu) => [idle(cpu).patch_state, idle(cpu).pending])).toEqual([
		[PATCHED, false],
		[UNPATCHED, true],
		[UNPATCHED, true],
		[PATCHED, false],
	]);
	machine.rounds(1);
	expect([1, 2].map((cpu) => [idle(cpu).patch_state, idle(cpu).pending])).toEqual([
		[PATCHED, false],
		[PATCHED, false],
	]);
	expect(machine.cat("lp1/transition")).toBe("1");
});
test("[rule 3.9] without wake_up_if_idle() an idle task would sleep on, and the transition wait", () => {
	machine.rounds(3);
	const { sched } = machine.it;
	const wake_up_if_idle = sched.wake_up_if_idle.bind(sched);
	Object.assign(sched, { wake_up_if_idle: () => {} });
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.rounds(200);
	expect([idle(1).patch_state, machine.cat("lp1/transition")]).toEqual([UNPATCHED, "1"]);
	Object.assign(sched, { wake_up_if_idle });
	machine.settle();
	expect(idle(1).patch_state).toBe(IDLE);
});
test("a CPU that goes or comes in the middle of a transition does not hold it up", () => {
	const sleeper = machine.sleeper("s", "funcA");
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	online("0", 1);
	online("0", 2);
	machine.rounds(2 * 20);
	online("1", 2);
	expect([1, 2, 3].map((cpu) => idle(cpu).patch_state)).toEqual([PATCHED, PATCHED, PATCHED]);
	machine.it.tasks.wake(sleeper);
	machine.settle();
	expect([...machine.it.sched.all()].every(({ patch_state }) => patch_state === IDLE)).toBe(true);
});
test("CPUs cannot go while the idle tasks are looked at", () => {
	machine.sleeper("s", "funcA");
	const { hotplug } = machine.it;
	const locked: boolean[] = [];
	machine.it.observe({
		point: (label) => {
			if (label.includes("offline idle task")) locked.push(hotplug.lock.locked);
		},
	});
	online("0", 3);
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	expect([locked, hotplug.lock.locked]).toEqual([[true], false]);
});
