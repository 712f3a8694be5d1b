/** The function tracer and its files in /sys/kernel/tracing. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FTRACE_OPS_FL, ftrace_ops, TRACE_ENTRIES_MAX } from "../../../src/linux/ftrace/index.js";
import { FtraceTest } from "../../support/ftrace.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

const [ENOENT, EACCES, EBUSY, EINVAL] = [-2, -13, -16, -22];

describe.each(["jit", "unicorn"])("on %s", (cpu) => {
	let machine: TestMachine;
	let f: FtraceTest;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, cpus: 2 });
		f = new FtraceTest(machine);
	});
	afterEach(() => machine.close());

	const echo = (value: string, file: string) => machine.it.shell.write(`/sys/kernel/tracing/${file}`, value);
	const cat = (file: string) => machine.it.shell.read(`/sys/kernel/tracing/${file}`);
	/** Functions that the trace holds, in order: `callee <-caller`. */
	const traced = () => machine.it.tracefs.lines().map((line) => line.replace(/^.*\d: /, ""));

	test("records caller and function of each call: the lines of the file trace", () => {
		const task = machine.task("worker", "untraced");
		expect(echo("function", "current_tracer")).toBe(0);
		machine.call(task, "funcC");
		expect(traced().slice(0, 5)).toEqual([
			"funcC <-do_syscall_64",
			"funcA <-funcC",
			"weigh <-funcA",
			"funcB <-funcC",
			"weigh <-funcB",
		]);
		const text = cat("trace") as string;
		const lines = text.split("\n");
		expect(lines.slice(0, 3)).toEqual([
			"# tracer: function",
			"#",
			`# entries-in-buffer/entries-written: ${traced().length}/${traced().length}   #P:2`,
		]);
		// print_func_help_header_irq() and the names of the five flags: readers of traces look for these lines.
		expect(lines.slice(3, 12)).toEqual([
			"#",
			"#                                _-----=> irqs-off/BH-disabled",
			"#                               / _----=> need-resched",
			"#                              | / _---=> hardirq/softirq",
			"#                              || / _--=> preempt-depth",
			"#                              ||| / _-=> migrate-disable",
			"#                              |||| /     delay",
			"#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION",
			"#              | |         |   |||||     |         |",
		]);
		// As the kernel prints it: comm right-aligned in 16, pid left-aligned in 7, CPU, five flags, time.
		expect(lines[12]).toMatch(/^ {10}worker-\d {6} \[00[01]\] \.{5} {5}\d\.\d{6}: funcC <-do_syscall_64$/);
		expect(echo("", "trace")).toBe(0);
		expect(traced()).toEqual([]);
	});
	test("sees a livepatched function where it is called, and the new one where it runs", () => {
		const task = machine.task("worker", "untraced");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		echo("funcA lp1_funcA", "set_ftrace_filter");
		echo("function", "current_tracer");
		machine.call(task, "funcC");
		expect(traced()).toEqual(["funcA <-funcC", "lp1_funcA [lp1] <-funcC"]);
	});
	test("filters: names, globs, all or nothing; they can change while it traces", () => {
		const task = machine.task("worker", "untraced");
		expect(cat("set_ftrace_filter")).toBe("#### all functions enabled ####\n");
		expect(cat("set_ftrace_notrace")).toBe("#### no functions disabled ####\n");
		expect(echo("func* nowhere", "set_ftrace_filter")).toBe(EINVAL);
		expect(cat("set_ftrace_filter")).toBe("#### all functions enabled ####\n");
		expect(echo("func*", "set_ftrace_filter")).toBe(0);
		expect(cat("set_ftrace_filter")).toBe("funcA\nfuncB\nfuncC\nfuncD\n");
		expect(echo("*B", "set_ftrace_notrace")).toBe(0);
		echo("function", "current_tracer");
		machine.call(task, "funcC");
		expect(traced()).toEqual(["funcC <-do_syscall_64", "funcA <-funcC"]);
		expect(["funcB", "weigh"].map((func) => f.calls(func))).toEqual(["nop", "nop"]);
		echo("", "set_ftrace_filter");
		expect(["funcB", "weigh"].map((func) => f.calls(func))).toEqual(["nop", "ftrace_trampoline[global_ops]+0x0"]);
		echo("", "set_ftrace_notrace");
		expect(f.calls("funcB")).toBe("ftrace_trampoline[global_ops]+0x0");
	});
	test("tracing_on pauses it, nop ends it; what there is not is -EINVAL, -ENOENT, -EACCES", () => {
		const task = machine.task("worker", "untraced");
		const text = machine.text();
		expect([echo("irqsoff", "current_tracer"), cat("current_tracer")]).toEqual([EINVAL, "nop\n"]);
		expect([echo("function\n", "current_tracer"), cat("current_tracer")]).toEqual([0, "function\n"]);
		expect(echo("function", "current_tracer")).toBe(0);
		expect([echo("x", "tracing_on"), echo("0", "tracing_on"), cat("tracing_on")]).toEqual([EINVAL, 0, "0\n"]);
		machine.call(task, "funcA");
		expect(traced()).toEqual([]);
		echo("1", "tracing_on");
		machine.call(task, "funcA");
		expect(traced().slice(0, 2)).toEqual(["funcA <-do_syscall_64", "weigh <-funcA"]);
		expect([echo("nop", "current_tracer"), traced()]).toEqual([0, []]);
		machine.call(task, "funcA");
		expect(traced()).toEqual([]);
		expect([cat("nothing"), echo("1", "enabled_functions"), cat("available_tracers")]).toEqual([
			ENOENT,
			EACCES,
			"function_graph function nop\n",
		]);
		// The tracer keeps its trampoline; all other text is as before.
		const after = machine.text();
		for (const [region, bytes] of text) expect([region, after.get(region)]).toEqual([region, bytes]);
	});
	test("the ring buffer forgets the oldest entries, and says how many there were", () => {
		const { tracer } = machine.it;
		const { call } = tracer.global_ops;
		for (let i = 0; i < 2 * TRACE_ENTRIES_MAX + 10; i++) call!(i, 0, 0, 0);
		const { entries, written } = tracer.buffer;
		expect([entries.length, written, entries[0]!.ip]).toEqual([
			TRACE_ENTRIES_MAX,
			2 * TRACE_ENTRIES_MAX + 10,
			TRACE_ENTRIES_MAX + 10,
		]);
	});
	test("[rule 6.15] [rule 6.16] enabled_functions and touched_functions are those of t_show()", async () => {
		await f.loadTracers();
		expect(cat("enabled_functions")).toBe("");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		f.register(
			f.tracer("regs", () => {}, FTRACE_OPS_FL.DYNAMIC | FTRACE_OPS_FL.SAVE_REGS),
			"funcA",
			"funcB",
		);
		const sizeOf = (name: string) => machine.it.modules.get("tracers")!.image.symbol(name)!.size.toString(16);
		const listFunc = "ftrace_ops_list_func+0x0/0x67";
		const direct = f.filter(new ftrace_ops("direct", undefined, 0, undefined, 0), "funcC");
		f.run(machine.ftrace.direct.register_ftrace_direct(direct, machine.addr("direct_tramp")));
		const lines = (file: string) => (cat(file) as string).replace(/0x[0-9a-f]{16}/g, "ADDRESS").split("\n");
		expect(lines("enabled_functions")).toEqual([
			`funcA (2) R I     M  ->${listFunc}`,
			"funcB (1) R         \ttramp: ADDRESS (ftrace_host_func+0x0/0x10) ->ftrace_host_func+0x0/0x10",
			`funcC (1) R   D   M \ttramp: ftrace_regs_caller+0x0/0x58 (call_direct_funcs+0x0/0x10)`,
			`\tdirect-->direct_tramp+0x0/0x${sizeOf("direct_tramp")} [tracers]`,
			"",
		]);
		f.run(machine.ftrace.direct.unregister_ftrace_direct(direct, machine.addr("direct_tramp")));
		machine.echo("0", "lp1/enabled");
		machine.settle();
		// What has had IPMODIFY or DIRECT stays marked, and what has been traced stays in touched_functions.
		expect(lines("touched_functions")).toEqual([
			"funcA (1) R       M \ttramp: ADDRESS (ftrace_host_func+0x0/0x10) ->ftrace_host_func+0x0/0x10",
			"funcB (1) R         \ttramp: ADDRESS (ftrace_host_func+0x0/0x10) ->ftrace_host_func+0x0/0x10",
			`funcC (0)         M  ->${listFunc}`,
			"",
		]);
		expect((cat("available_filter_functions") as string).split("\n")).toContain("lp1_funcA [lp1]");
	});
	test("ftrace_enabled=0 silences it; it comes back with all of its sites", () => {
		const task = machine.task("worker", "untraced");
		const sysctl = (value: string) => machine.it.shell.write("/proc/sys/kernel/ftrace_enabled", value);
		echo("funcA", "set_ftrace_filter");
		echo("function", "current_tracer");
		expect([sysctl("0"), f.calls("funcA")]).toEqual([0, "nop"]);
		machine.call(task, "funcA");
		expect([traced(), sysctl("1")]).toEqual([[], 0]);
		machine.call(task, "funcA");
		expect(traced()).toEqual(["funcA <-do_syscall_64"]);
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		expect([sysctl("0"), machine.it.shell.read("/proc/sys/kernel/ftrace_enabled")]).toEqual([EBUSY, "1\n"]);
	});
});
