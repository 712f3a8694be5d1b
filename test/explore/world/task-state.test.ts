import { expect, test } from "vitest";
import { RAX, STATE_WORDS } from "../../../src/cpu/index.js";
import { FLAGS } from "../../../src/cpu/x86/index.js";
import type { GuestContext } from "../../../src/explore/world/decisive.js";
import { TASK_FIELDS, type TaskContent, type TaskState, TaskStates } from "../../../src/explore/world/task-state.js";

const FIELDS = Object.fromEntries(TASK_FIELDS.map((field) => [field, 0])) as TaskState["fields"];
const HERE: TaskContent = {
	...{ slot: 0, fields: FIELDS, alive: true, running: true },
	...{ handler: undefined, core: undefined, chosen: undefined, inside: [], entries: [1], entriesKey: "1" },
};

/** A task with this value in rax. `origin`: of that. */
function context(value: number, origin = 0): GuestContext {
	const words = new BigUint64Array(STATE_WORDS);
	words[RAX] = BigInt(value);
	const registers = new Array<number>(FLAGS + 1).fill(0);
	registers[RAX] = origin;
	return { words, stack: new Uint8Array(0), ...(origin !== 0 && { origins: { registers, stack: [] } }) };
}

test("data with which a task comes somewhere later is tried behind what kernel code has written to it earlier, too", () => {
	const states = new TaskStates();
	const here = states.intern(HERE, context(1));
	const pending = states.withFields(here, { thread_flags: 8 });
	const switched = states.withFields(pending, { patch_state: 1 });
	const unknown = context(1, -8);
	states.intern(HERE, unknown);
	expect(pending.contexts).toEqual([context(1), unknown]);
	expect(switched.contexts).toEqual([context(1), unknown]);
	expect(states.late.map(({ state }) => state)).toEqual(expect.arrayContaining([here, pending, switched]));
	// A write that leaves the task as it is, or takes another one back, ends there.
	expect(states.withFields(switched, { thread_flags: 8 })).toBe(switched);
	expect(states.withFields(pending, { thread_flags: 0 })).toBe(here);
	states.intern(HERE, context(2));
	expect(switched.contexts).toEqual([context(1), unknown, context(2)]);
});

test("beyond the contexts that are followed, the marked data goes on, too", () => {
	const states = new TaskStates();
	const here = states.intern(HERE, context(0));
	const pending = states.withFields(here, { thread_flags: 8 });
	expect(states.withFields(pending, { thread_flags: 0 })).toBe(here);
	for (let value = 1; value < 70; value++) states.intern(HERE, context(value));
	const last = pending.contexts.at(-1)!;
	expect(pending.contexts.length).toBe(here.contexts.length);
	expect(last.origins?.registers[RAX]).toBe(1);
});
