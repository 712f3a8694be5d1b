import { expect, test } from "vitest";
import { Actor, BLOCKED } from "../../../src/explore/world/actors.js";
import { type Kernel, place, wait } from "../../../src/linux/lib/index.js";
import { task_struct } from "../../../src/linux/sched/index.js";

let ready = false;
function* code(): Kernel<void> {
	yield "first";
	for (const turn of [1, 2]) {
		yield place("loop", turn);
		yield "in the loop";
	}
	yield wait("wait", () => ready);
	yield "last";
}

test("an actor goes from point to point, waits, and is between two steps at the end", () => {
	const actor = new Actor("shell", new task_struct(1, "shell", { mode: "host" }));
	const advance = () => actor.advance(code);
	const labels = Array.from({ length: 6 }, () => {
		const point = advance();
		return typeof point === "string" ? point : point?.label;
	});
	expect(labels).toEqual(["first", "loop", "in the loop", "loop", "in the loop", "wait"]);
	expect([actor.inStep, actor.onCpu]).toEqual([true, false]);
	expect(advance()).toBe(BLOCKED);
	ready = true;
	expect([advance(), actor.onCpu]).toEqual(["last", true]);
	expect([advance(), actor.inStep]).toEqual([undefined, false]);
});

test("a loop is at its last turn only: the key forgets how it got there", () => {
	const keyAfter = (points: number) => {
		const actor = new Actor("shell", new task_struct(1, "shell", { mode: "host" }));
		for (let i = 0; i < points; i++) actor.advance(code);
		return actor.key;
	};
	expect(keyAfter(4)).toBe("0:false:first>loop@2");
	expect(keyAfter(5)).toBe("0:false:first>loop@2>in the loop");
});
