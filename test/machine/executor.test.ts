/** Tasks on the Cpu: slices, stacks, and the ways out of guest code. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { THREAD_SIZE } from "../../src/linux/sched/index.js";
import { PAGE_SIZE, PERM, toU64 } from "../../src/memory/index.js";
import { createTestMachine, type TestMachine } from "../support/machine.js";

let machine: TestMachine;
beforeEach(async () => {
	machine = await createTestMachine();
});
afterEach(() => machine.close());

const CODE = -0x50000000;

/** A task that calls these bytes. */
function taskOf(name: string, code: string) {
	const { memory, cpu } = machine.it;
	memory.map(name, CODE, PAGE_SIZE, PERM.READ | PERM.EXEC);
	memory.write(CODE, Uint8Array.from(Buffer.from(code.replaceAll(" ", ""), "hex")));
	cpu.textChanged(CODE, PAGE_SIZE);
	return machine.it.tasks.add({ name, kthread: false, calls: [CODE] });
}

test("a slice is exact: a task that never ends runs as many instructions as it was given", () => {
	const { it } = machine;
	const task = taskOf("endless", "ebfe"); // jmp .
	it.round();
	const before = it.sched.instructions;
	it.executor.runSlice(it.sched.cpus[0]!, task, 1000);
	expect(it.sched.instructions - before).toBe(1000);
	expect(task.regs.rip).toBe(toU64(CODE));
});

test("registers are the task's own: others run in between and change nothing", () => {
	const one = taskOf("one", "48ffc3 4883c103 ebf7"); // inc rbx; add rcx, 3; jmp back
	machine.task("two", "funcA", "funcD");
	machine.kthread("three", "funcC");
	const [RCX, RBX] = [1, 3];
	let looks = 0;
	machine.until(() => {
		const [rcx, rbx] = [one.regs.words[RCX]!, one.regs.words[RBX]!];
		// The addition may still be to come.
		if (one.stack !== undefined) expect([3n * rbx, 3n * rbx - 3n]).toContain(rcx);
		if (one.on_cpu < 0) looks++;
		return rbx > 2000n;
	});
	expect(looks).toBeGreaterThan(20);
	expect(machine.it.sched.find("two")!.nvcsw).toBeGreaterThan(1);
});

test("each task has a stack of 16 KiB with a page below it that is never mapped", () => {
	const { memory } = machine.it;
	const tasks = ["a", "b", "c"].map((name) => machine.task(name, "funcA"));
	machine.until(() => tasks.every(({ stack }) => stack !== undefined));
	for (const { stack } of tasks) {
		expect([stack!.length, stack!.perm]).toEqual([THREAD_SIZE, PERM.READ | PERM.WRITE]);
		expect(memory.permissions(stack!.address - 1n)).toBe(0);
	}
});

test("endless recursion ends at the guard page, with the address right below the stack", () => {
	const task = taskOf("deep", "e8 fb ff ff ff"); // call .
	machine.task("other", "funcA");
	machine.until(() => task.oops !== undefined);
	const address = (task.stack?.address ?? 0n) - 8n;
	expect(task.oops).toContain(`0x${address.toString(16)}`);
	machine.rounds(50);
	expect(machine.it.sched.find("other")!.nvcsw).toBeGreaterThan(0);
});

test("the stack of a task that exits is used again by the next one", () => {
	const first = machine.task("first", "funcC");
	machine.until(() => first.stack !== undefined && first.mode === "user");
	const address = first.stack!.address;
	machine.it.tasks.exit(first);
	expect(machine.it.memory.permissions(address)).toBe(0);
	const second = machine.it.tasks.add({ name: "second", kthread: false, calls: [machine.addr("funcA")], idle: true });
	machine.it.tasks.wake(second);
	machine.until(() => second.stack !== undefined);
	expect(second.stack!.address).toBe(address);
});

test("stacks come and go without end", () => {
	for (let i = 0; i < 200; i++) {
		const task = machine.task(`t${i}`, "untraced");
		machine.until(() => task.stack !== undefined);
		machine.it.tasks.exit(task);
	}
	expect(machine.it.sched.tasks.map(({ comm }) => comm)).toEqual(["shell", "kworker/0:1"]);
});

test("a kthread never leaves the kernel: it sleeps between its turns", () => {
	const kthread = machine.kthread("k", "funcA");
	const modes = new Set<string>();
	for (let i = 0; i < 100; i++) {
		machine.it.round();
		modes.add(`${kthread.mode} ${kthread.__state}`);
	}
	expect([...modes].sort()).toEqual(["kernel 0", "kernel 1"]);
});

test("a task stops in front of the body it is to sleep in, once; awake, it goes on from there", () => {
	const task = machine.sleeper("s", "funcA");
	expect(task.regs.rip).toBe(toU64((machine.site("funcA") + 5) | 0));
	expect(
		machine.it.unwinder
			.stack_trace_save_tsk_reliable(task)!
			.map((address) => machine.it.symbolize(address).split("+")[0])[0],
	).toBe("funcA");
	machine.rounds(20);
	expect(task.held).toBe(true);
	machine.it.tasks.wake(task);
	machine.until(() => task.nvcsw >= 3);
	expect(task.held).toBe(false);
});

test("one stack more than the guest has addresses for is an error, not memory of another task", () => {
	const { stacks } = machine.it;
	machine.rounds(5);
	// As if stacks had been handed out up to there: the next one would reach beyond the area.
	stacks.nextStack = -0x10_0000 - THREAD_SIZE;
	machine.task("last", "funcA");
	expect(() => machine.rounds(5)).toThrow(expect.objectContaining({ code: "STACK_AREA_FULL" }));
});

test("a task that never enables preemption again is an error, which names it", () => {
	const task = taskOf("endless", "ebfe"); // jmp .
	machine.rounds(2);
	// As if it were in an ftrace call-back that does not come back.
	task.trace_recursion = 1;
	expect(() => machine.rounds(5)).toThrow(
		expect.objectContaining({ code: "PREEMPTION_DISABLED", message: expect.stringContaining("'endless'") }),
	);
});

test("a notice of changed code that is held back reaches the Cpu when it is delivered, once", () => {
	const { cpu, icache } = machine.it;
	const told: unknown[] = [];
	const textChanged = cpu.textChanged.bind(cpu);
	Object.assign(cpu, {
		textChanged(address: number, length: number) {
			told.push([address, length]);
			textChanged(address, length);
		},
	});
	const funcA = machine.addr("funcA");
	icache.flush_icache_range(funcA, 5);
	expect(told).toEqual([[funcA, 5]]);
	icache.hold();
	icache.flush_icache_range(funcA, 5);
	icache.flush_icache_range(funcA, 2);
	icache.flush_icache_range(funcA + 8, 5);
	expect(told).toHaveLength(1);
	icache.deliver();
	icache.deliver();
	expect(told.slice(1)).toEqual([
		[funcA, 5],
		[funcA + 8, 5],
	]);
});
