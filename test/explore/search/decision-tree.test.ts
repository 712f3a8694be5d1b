import { expect, test } from "vitest";
import { TaskColumns } from "../../../src/explore/search/columns.js";
import { DecisionTree, ON_CPU, type Step } from "../../../src/explore/search/decision-tree.js";
import type { Read, TaskState } from "../../../src/explore/world/index.js";

/** Task states whose number is their patch_state. */
const columns = () =>
	new TaskColumns([0, 1].map((patch_state) => ({ fields: { patch_state } }) as unknown as TaskState));

/** A step that reads patch_state of task 0, and whether task 1 is on a CPU. */
class TestStep implements Step<string> {
	readonly position: Step<string>["position"];
	readonly #mayBeBusy: number;
	executed = 0;
	/** Those on a CPU in each execution. */
	readonly made: ReadonlySet<number>[] = [];
	reads: (busy: boolean) => readonly Read[];

	constructor(patch_state: number, mayBeBusy: number) {
		const row = [patch_state, 0];
		this.position = { ask: (slot, question) => question.at(row[slot]!) };
		this.#mayBeBusy = mayBeBusy;
		this.reads = (busy) => [
			{ slot: 0, field: "patch_state", value: patch_state },
			{ slot: 1, field: "on_cpu", value: busy },
		];
	}

	mayBeBusy(): number {
		return this.#mayBeBusy;
	}

	execute(busy: ReadonlySet<number>) {
		this.executed++;
		this.made.push(busy);
		const reads = this.reads(busy.has(1));
		return { reads, value: reads.map(({ value }) => value).join() };
	}
}

test("each choice about on_cpu is one thing that a step leads to, and is executed once", () => {
	const tree = new DecisionTree<string>(columns());
	const step = new TestStep(0, ON_CPU.either);
	expect(tree.find(step)).toEqual(["0,false", "0,true"]);
	expect(step.executed).toBe(2);
	expect(tree.find(step)).toEqual(["0,false", "0,true"]);
	expect(step.executed).toBe(2);
});

test("states that agree in what was read share an execution, and others do not", () => {
	const tree = new DecisionTree<string>(columns());
	tree.find(new TestStep(0, ON_CPU.no));
	const [same, other] = [new TestStep(0, ON_CPU.no), new TestStep(1, ON_CPU.no)];
	expect([tree.find(same), tree.find(other)]).toEqual([["0,false"], ["1,false"]]);
	expect([same.executed, other.executed]).toEqual([0, 1]);
});

test("an execution keeps the decision that it was made with, whatever the path decides further on", () => {
	const tree = new DecisionTree<string>(columns());
	tree.find(new TestStep(0, ON_CPU.no));
	const step = new TestStep(1, ON_CPU.yes);
	expect(tree.find(step)).toEqual(["1,true"]);
	expect(step.made).toEqual([new Set(), new Set([1])]);
});

test("a step that reads something else the second time is found out", () => {
	const tree = new DecisionTree<string>(columns());
	tree.find(new TestStep(0, ON_CPU.no));
	const step = new TestStep(0, ON_CPU.yes);
	step.reads = () => [{ slot: 0, field: "thread_flags", value: 0 }];
	expect(() => tree.find(step)).toThrow(expect.objectContaining({ code: "EXPLORE_NONDETERMINISM" }));
});
