/** What a look at the compiled core may do: nothing. Its own handler runs for it, and must leave func_stack as it is. */
import { expect, test, vi } from "vitest";
import type { GuestFunc } from "../../../src/linux/klp-c/patches.js";
import { Scratch } from "../../../src/linux/klp-c/scratch.js";
import { kernelCore } from "../../support/kernel-core.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

/** What observers are told when the handler of a look also does this, with the struct ftrace_ops that it gets. */
async function told(machine: TestMachine, change: (fops: number) => void): Promise<string[]> {
	const { it } = machine;
	const messages: string[] = [];
	const stop = it.observe({ invalidRead: (what) => void messages.push(what) });
	const original = Scratch.prototype.call;
	const call = vi.spyOn(Scratch.prototype, "call").mockImplementation(function (this: Scratch, func, ...args) {
		const result = original.call(this, func, ...args);
		// klp_ftrace_handler(ip, parent_ip, fops, fregs)
		change(Number(BigInt.asIntN(32, args[2]!)));
		return result;
	});
	try {
		it.klp.wouldRun(machine.addr("funcA"), -1);
	} finally {
		call.mockRestore();
		stop();
	}
	return messages;
}

test("a handler that changes the func_stack that it reads is told of", async ({ skip }) => {
	const core = await kernelCore(skip);
	const machine = await createTestMachine({ core });
	try {
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		const { memory } = machine.it;
		expect(await told(machine, () => {})).toEqual([]);
		const [entry] = machine.it.klp.funcStack(machine.addr("funcA")) as readonly GuestFunc[];
		const last = (entry!.address + core.layout.size("struct klp_func") - 4) | 0;
		const change = () => memory.setU32(last, memory.u32(last) ^ 1);
		expect(await told(machine, change)).toEqual(["klp_ftrace_handler() has changed the func_stack that it reads"]);
		const list = (fops: number) => (fops - core.layout.offset("klp_ops.fops") + core.layout.offset("klp_ops.node")) | 0;
		expect(await told(machine, (fops) => memory.setU32(list(fops), memory.u32(list(fops)) ^ 8))).toHaveLength(1);
	} finally {
		machine.close();
	}
});
