/** The hot handler and the one that yields before each read are the same function. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { designs } from "../../src/designs/index.js";
import { FTRACE_OPS_FL, ftrace_ops, PT_REGS } from "../../src/linux/ftrace/index.js";
import { type HandlerAt, klp_ftrace_handler_step, klp_func, klp_ops } from "../../src/linux/klp/index.js";
import { list_add_tail } from "../../src/linux/lib/index.js";
import type { Kaddr } from "../../src/memory/index.js";
import { createTestMachine, type TestMachine } from "../support/machine.js";

const OLD: Kaddr = -0x7e000000;
const FREGS: Kaddr = -0x20000000;
const WARNING = "klp_ftrace_handler: patch_state == KLP_TRANSITION_IDLE";

const entry = fc.record({
	kind: fc.constantFrom("replacement", "nop"),
	transition: fc.boolean(),
	mark: fc.constantFrom(0, 1),
});

describe.each(designs.map((design): [string] => [design.name]))("%s", (name) => {
	let machine: TestMachine;
	/** One for all tests, as a Cpu has it: what it remembers of an ops must not outlive the ops, whose address others get. */
	let handler: (fops: Kaddr) => Kaddr;
	const errors: unknown[] = [];
	beforeAll(async () => {
		machine = await createTestMachine({ design: name });
		handler = machine.klp.makeHandler((error) => errors.push(error));
		machine.it.memory.map("fregs", FREGS, 4096, 3);
	});
	afterAll(() => machine.close());

	const hot = (): Kaddr => handler(FREGS);

	/** Stores the ip by itself. */
	function stepwise(fops: ftrace_ops): 0 {
		let at: HandlerAt | undefined;
		const { env, design } = machine.klp;
		do at = klp_ftrace_handler_step(env, design, fops, FREGS, at);
		while (at !== undefined);
		return 0;
	}

	/** The ip that a handler returns or leaves behind, and whether it warned. */
	function outcome(handler: () => Kaddr): [number, string[]] {
		const { memory, dmesg } = machine.it;
		dmesg.warnings.length = 0;
		memory.setKaddr((FREGS + PT_REGS.RIP) | 0, (OLD + 5) | 0);
		const ip = handler() || memory.kaddr((FREGS + PT_REGS.RIP) | 0);
		return [ip, [...dmesg.warnings]];
	}

	test("klp_ftrace_handler and klp_ftrace_handler_step agree on every stack and state", () => {
		const { it, ftrace } = machine;
		const outcomes = new Set<number>();
		fc.assert(
			fc.property(fc.array(entry, { maxLength: 5 }), fc.constantFrom(-1, 0, 1), (entries, patch_state) => {
				const ops = new klp_ops(OLD);
				for (const [index, { kind, transition, mark }] of entries.entries()) {
					// The universe design has no nops.
					const nop = kind === "nop" && name !== "universe";
					const new_func = nop ? OLD : (OLD + 0x1000 * (index + 1)) | 0;
					const func = new klp_func({ old_name: "f", new_name: `f${index}`, new_func, nop });
					Object.assign(func, { transition, mark });
					list_add_tail(func.stack_node, ops.func_stack);
				}
				ops.fops = new ftrace_ops("f", ops, 0, undefined, FTRACE_OPS_FL.DYNAMIC);
				ops.fops.address = FREGS;
				ftrace.opsByAddress.set(FREGS, ops.fops);
				it.shell.task.patch_state = patch_state;
				const whole = outcome(hot);
				const step = outcome(() => stepwise(ops.fops));
				ops.fops.address = 0;
				expect(step).toEqual(whole);
				expect(whole[1].includes(WARNING)).toBe(patch_state === -1 && entries[0]?.transition === true);
				expect(it.shell.task.trace_recursion).toBe(0);
				outcomes.add(whole[0]);
			}),
			{ seed: 1, numRuns: 300 },
		);
		// Original, first, second: all of them have been seen.
		expect(outcomes.size).toBeGreaterThanOrEqual(3);
		it.shell.task.patch_state = -1;
	});

	test("an error in the handler goes to its creator", () => {
		expect(errors).toEqual([]);
		// No ops has this address.
		expect(handler((FREGS + 0x800) | 0)).toBe(1);
		expect(errors).toEqual([expect.objectContaining({ message: expect.stringContaining("no klp_ops at 0x") })]);
	});

	test("[rule 2.5] a handler that is entered again, and not by an interrupt, leaves the ip alone and warns", () => {
		const { it } = machine;
		const ops = new klp_ops(OLD);
		const func = new klp_func({ old_name: "f", new_name: "g", new_func: (OLD + 0x1000) | 0 });
		list_add_tail(func.stack_node, ops.func_stack);
		ops.fops = new ftrace_ops("f", ops, 0, undefined, FTRACE_OPS_FL.DYNAMIC);
		ops.fops.address = FREGS;
		machine.ftrace.opsByAddress.set(FREGS, ops.fops);
		it.shell.task.trace_recursion = 0x18;
		const handlers = [hot, () => stepwise(ops.fops)];
		for (const handler of handlers) {
			expect(outcome(handler)).toEqual([(OLD + 5) | 0, ["klp_ftrace_handler: recursion"]]);
		}
		it.shell.task.trace_recursion = 0;
		for (const handler of handlers) expect(outcome(handler)).toEqual([(OLD + 0x1000) | 0, []]);
	});
});
