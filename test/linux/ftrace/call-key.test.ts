/** Ftrace.callKey(): moves of tasks are remembered by it, so that it must change with all that a call can meet. */
import { expect, test } from "vitest";
import { FTRACE_OPS_FL } from "../../../src/linux/ftrace/index.js";
import { FtraceTest } from "../../support/ftrace.js";
import { createTestMachine } from "../../support/machine.js";

test("each change of ops, filters, sites and the shared call gives another key", async () => {
	const machine = await createTestMachine();
	try {
		const it = new FtraceTest(machine);
		const { ftrace } = machine;
		const keys: string[] = [];
		const note = () => keys.push(ftrace.callKey().map(String).join());
		note();
		// One ops has a trampoline of its own. Two at one site share ftrace_caller, which calls the list function.
		const first = it.filter(
			it.tracer("first", () => {}, FTRACE_OPS_FL.DYNAMIC),
			"funcA",
		);
		const second = it.filter(
			it.tracer("second", () => {}, 0),
			"funcA",
		);
		expect(it.run(ftrace.register_ftrace_function(first))).toBe(0);
		note();
		expect(it.run(ftrace.register_ftrace_function(second))).toBe(0);
		note();
		it.filter(second, "funcA", "funcB");
		note();
		expect(it.run(ftrace.unregister_ftrace_function(first))).toBe(0);
		note();
		expect(it.run(ftrace.ftrace_enable_sysctl(false))).toBe(0);
		note();
		expect(new Set(keys).size).toBe(keys.length);
	} finally {
		machine.close();
	}
});
