/** Points that drivers treat in their own way: a kind that is lost where it is yielded would silently switch off a rule. */
import { expect, test } from "vitest";
import { mutex, type StepKind } from "../../../src/linux/lib/index.js";
import { createTestMachine } from "../../support/machine.js";

/** The labels of each kind that a transition with all that can happen in it passes. */
async function labelsByKind(): Promise<Map<StepKind, Set<string>>> {
	const machine = await createTestMachine({ cpus: 2 });
	const found = new Map<StepKind, Set<string>>();
	machine.it.observe({
		point: (label, kind) => found.set(kind, (found.get(kind) ?? new Set()).add(label)),
	});
	machine.it.shell.run(machine.it.hotplug.cpu_down(1));
	const sleeper = machine.sleeper("s", "funcA");
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.rounds(400);
	machine.it.tasks.wake(sleeper);
	machine.settle();
	machine.close();
	return found;
}

test("turns of loops over all tasks, the end of a transition, and details", async () => {
	const found = await labelsByKind();
	const labels = (kind: StepKind) => [...(found.get(kind) ?? [])].sort();
	expect(labels("turn")).toEqual([
		"klp_send_signals",
		"klp_start_transition: TIF_PATCH_PENDING",
		"klp_try_complete_transition: offline idle task",
		"klp_try_switch_task: patch_state",
	]);
	expect(labels("done")).toEqual(["klp_complete_transition: done"]);
	expect(labels("detail")).toEqual(["text_poke_bp_batch: int3 written", "text_poke_bp_batch: tail written"]);
	expect(labels("step")).toContain("klp_start_transition: klp_cond_resched_enable");
});

test("a wait for a mutex names the mutex", () => {
	const lock = new mutex("klp_mutex");
	lock.locked = true;
	const { value } = lock.lock().next();
	expect(value).toMatchObject({ kind: "wait", label: "mutex_lock(klp_mutex)", lock });
});
