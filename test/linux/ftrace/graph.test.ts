/** The function graph tracer: replaced return addresses, what the unwinder makes of them, and the file trace. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FunctionGraph, type fgraph_ops } from "../../../src/linux/ftrace/fgraph.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

describe.each(["jit", "unicorn"])("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, cpus: 2 });
	});
	afterEach(() => machine.close());

	const echo = (value: string, file: string) => machine.it.shell.write(`/sys/kernel/tracing/${file}`, value);
	const cat = (file: string) => machine.it.shell.read(`/sys/kernel/tracing/${file}`) as string;
	/** The lines of calls and returns, without CPU and duration. */
	const calls = () => machine.it.tracefs.lines().map((line) => line.replace(/^.*\| {2}/, ""));
	const names = (entries: readonly number[] | undefined) =>
		entries?.map((ip) => machine.it.symbolize(ip).replace(/\+.*/, ""));
	const sleeper = (...called: string[]) => {
		const task = machine.it.tasks.add({
			name: "sleeper",
			kthread: false,
			calls: called.map((name) => machine.addr(name)),
			sleepAt: () => [(machine.site("weigh") + 5) | 0],
		});
		machine.until(() => task.held);
		return task;
	};

	test("calls and returns as blocks; a call without traced calls in it is one line", () => {
		const task = machine.task("worker", "untraced");
		const before = machine.call(task, "funcC");
		expect(echo("function_graph", "current_tracer")).toBe(0);
		expect(machine.call(task, "funcC")).toBe(before);
		const body = ["funcC() {", "  funcA() {", "    weigh();", "  }", "  funcB() {", "    weigh();", "  }", "}"];
		expect(calls().slice(0, body.length)).toEqual(body);
		const [name, hash, first, second, line] = cat("trace").split("\n");
		expect([name, hash, first, second]).toEqual([
			"# tracer: function_graph",
			"#",
			"# CPU  DURATION                  FUNCTION CALLS",
			"# |     |   |                     |   |   |   |",
		]);
		expect(line).toMatch(/^ [01]\) {15}\| {2}funcC\(\) \{$/);
		// A jiffy is a tenth of a second here: the mark says that it is long.
		expect(cat("trace")).toMatch(/\n [01]\) @ [2-9]00000\.0 us \| {6}weigh\(\);\n/);
		expect([echo("nop", "current_tracer"), calls()]).toEqual([0, []]);
		expect(machine.call(task, "funcC")).toBe(before);
	});
	test.each([
		[10, " 0) "],
		[11, "  0) "],
	])("of %i CPUs, the column of the CPU is as wide as the largest number", async (cpus, column) => {
		machine.close();
		machine = await createTestMachine({ cpu, cpus });
		echo("function_graph", "current_tracer");
		const calls = [machine.addr("funcA")];
		machine.it.tasks.add({ name: "worker", kthread: false, calls, cpu: 0 });
		machine.until(() => machine.it.tracefs.lines().length > 0);
		expect(machine.it.tracefs.lines().map((line) => line.slice(0, column.length))).toContain(column);
	});
	test("another task on the same CPU is announced with both names, seven letters of each", async () => {
		machine.close();
		machine = await createTestMachine({ cpu, cpus: 1 });
		echo("function_graph", "current_tracer");
		const calls = [machine.addr("funcA")];
		for (const name of ["first", "second-one"]) machine.it.tasks.add({ name, kthread: false, calls });
		machine.rounds(60);
		const lines = machine.it.tracefs.lines();
		const at = lines.findIndex((line) => line.includes("=>"));
		const [before, said, after, empty] = lines.slice(at - 1, at + 3);
		expect([before, after, empty]).toEqual([" ------------------------------------------", before, ""]);
		expect(said).toMatch(/^ 0\) {2,}(first-\d+ +=> +second--\d+|second--\d+ +=> +first-\d+) +$/);
	});
	test("a task that is inside while the tracer ends still returns to its caller", () => {
		echo("function_graph", "current_tracer");
		const task = sleeper("funcC");
		expect(task.ret_stack.length).toBe(3);
		expect(echo("nop", "current_tracer")).toBe(0);
		machine.it.tasks.wake(task);
		machine.until(() => task.mode === "user");
		expect([task.lastResult, task.oops, task.ret_stack]).toEqual([BigInt(machine.call(task, "funcC")), undefined, []]);
		expect(calls()).toEqual([]);
	});
	test("after its end nobody is told of calls and returns; a call that is on its way still returns", () => {
		const told: string[] = [];
		const gops: fgraph_ops = {
			entryfunc: (_task, call) => {
				told.push("entry");
				return call;
			},
			retfunc: (_task, { func }, depth) => void told.push(`return of ${func}, depth ${depth}`),
		};
		const { memory, dmesg, sched } = machine.it;
		const graph = new FunctionGraph({ memory, dmesg, sched, ftrace: machine.ftrace }, gops, 0);
		const task = machine.task("worker", "untraced");
		sched.current = task;
		task.ret_stack = [1, 2].map((func) => ({ ret: 10 * func, func, retp: 0, calltime: 0 }));
		graph.ftrace_graph_active = 1;
		expect([graph.ftrace_return_to_handler(), told]).toEqual([20, ["return of 2, depth 1"]]);
		graph.ftrace_graph_active = 0;
		expect([graph.ftrace_return_to_handler(), told]).toEqual([10, ["return of 2, depth 1"]]);
		// Its registers are not even read.
		graph.ftrace_graph_func(1, 0);
		expect([told.length, task.ret_stack]).toEqual([1, []]);
	});
	test("the unwinder finds the original return addresses, and livepatch sees the functions behind them", () => {
		const without = sleeper("funcC");
		const expected = ["weigh", "funcA", "funcC", "do_syscall_64", "entry_SYSCALL_64"];
		expect(names(machine.it.unwinder.stack_trace_save_tsk_reliable(without))).toEqual(expected);
		machine.it.tasks.wake(without);
		machine.it.tasks.exit(without);

		echo("function_graph", "current_tracer");
		const task = sleeper("funcC");
		expect(names(machine.it.unwinder.stack_trace_save_tsk_reliable(task))).toEqual(expected);
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		for (let i = 0; i < 50; i++) machine.it.round();
		expect([task.patch_state, machine.klp.inTransition]).toEqual([0, "lp1"]);
		machine.it.tasks.wake(task);
		machine.settle();
		expect(task.patch_state).toBe(-1);
	});
	test("a function that a livepatch runs instead shares its return address: two entries, one word", () => {
		const task = machine.task("worker", "untraced");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		const patched = machine.call(task, "funcC");
		echo("function_graph", "current_tracer");
		expect(machine.call(task, "funcC")).toBe(patched);
		expect(calls().slice(0, 6)).toEqual([
			"funcC() {",
			"  funcA() {",
			"    lp1_funcA [lp1]() {",
			"      weigh();",
			"    }",
			"  }",
		]);
		const inside = sleeper("funcC");
		expect(new Set(inside.ret_stack.map(({ retp }) => retp)).size).toBe(inside.ret_stack.length - 1);
		expect(names(machine.it.unwinder.stack_trace_save_tsk_reliable(inside))).toEqual([
			"weigh",
			"lp1_funcA",
			"funcC",
			"do_syscall_64",
			"entry_SYSCALL_64",
		]);
	});
	test("at each instruction the walk names the true callers, or is unreliable", () => {
		const task = machine.task("worker", "untraced", "funcC");
		echo("func* weigh", "set_ftrace_filter");
		echo("function_graph", "current_tracer");
		const { executor, sched, unwinder } = machine.it;
		const seen = new Map<string, number>();
		const callers: string[] = [];
		machine.until(() => task.mode === "user");
		for (let i = 0; i < 3000; i++) {
			sched.switch_to(sched.cpus[1]!, task);
			executor.runSlice(sched.cpus[1]!, task, 1);
			sched.deschedule(task);
			const where = names([Number(BigInt.asIntN(32, task.regs.rip))])![0]!;
			const trace = names(unwinder.stack_trace_save_tsk_reliable(task));
			seen.set(`${where} ${trace !== undefined}`, i);
			if (trace === undefined || task.mode !== "kernel") continue;
			expect(trace.at(-1)).toBe("entry_SYSCALL_64");
			// Its own frame, or that of the gate that it calls.
			expect(trace.lastIndexOf("return_to_handler")).toBeLessThan(trace[0] === "ftrace_return_to_handler" ? 2 : 1);
			const functions = trace.filter((name) => /^(func|weigh)/.test(name));
			callers.push(functions.join());
		}
		// Inside of return_to_handler both happen.
		expect([...seen.keys()]).toEqual(expect.arrayContaining(["return_to_handler true", "return_to_handler false"]));
		expect(callers).toEqual(expect.arrayContaining(["weigh,funcA,funcC", "funcB,funcC"]));
		const known = ["", "funcC", "funcA,funcC", "weigh,funcA,funcC", "funcB,funcC", "weigh,funcB,funcC"];
		expect([...new Set(callers)].sort()).toEqual(
			[...known, "weigh", "weigh,funcC"].filter((x) => callers.includes(x)).sort(),
		);
	});
	test("set_ftrace_filter, set_graph_function and tracing_on choose what is followed", () => {
		const task = machine.task("worker", "untraced");
		expect(cat("set_graph_function")).toBe("#### all functions enabled ####\n");
		expect([echo("nowhere", "set_graph_function"), echo("funcB", "set_graph_function")]).toEqual([-22, 0]);
		echo("function_graph", "current_tracer");
		machine.call(task, "funcC");
		expect(calls()).toEqual(["funcB() {", "  weigh();", "}"]);
		echo("", "set_graph_function");
		echo("", "trace");
		echo("funcC weigh", "set_ftrace_filter");
		machine.call(task, "funcC");
		expect(calls()).toEqual(["funcC() {", "  weigh();", "  weigh();", "}"].slice(0, calls().length));
		expect(calls().length).toBe(4);
		echo("0", "tracing_on");
		machine.call(task, "funcC");
		expect(calls().length).toBe(4);
		expect(cat("enabled_functions")).toMatch(/^funcC \(1\) {11}\ttramp: .*\(ftrace_graph_func\+0x0\/0x10\)/m);
	});
});
