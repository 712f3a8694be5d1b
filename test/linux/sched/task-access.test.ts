/** Fields of a task that something else keeps. */
import { expect, test } from "vitest";
import { accessField, TIF_PATCH_PENDING, task_struct } from "../../../src/linux/sched/index.js";

test("a field kept in memory is read and written there, by whatever uses the task", () => {
	const task = new task_struct(1, "worker", { mode: "user" });
	const memory = new Int32Array([7]);
	accessField(task, "thread_flags", () => ({
		get: () => memory[0]!,
		set: (value) => {
			memory[0] = value;
		},
	}));
	expect(task.thread_flags).toBe(7);
	task.thread_flags |= TIF_PATCH_PENDING;
	expect([memory[0], task.pending]).toEqual([7 | TIF_PATCH_PENDING, true]);
	memory[0] = 0;
	expect(task.pending).toBe(false);
	expect(Object.keys(task)).toContain("thread_flags");
});

test("an accessor around another sees each access, and the one behind it is not seen", () => {
	const task = new task_struct(1, "worker", { mode: "user" });
	const seen: unknown[] = [];
	const around = (name: string) => () =>
		accessField(task, "patch_state", (inner) => ({
			get: () => {
				seen.push(`${name} reads ${inner.get()}`);
				return inner.get();
			},
			set: (value) => {
				seen.push(`${name} writes ${value}`);
				inner.set(value);
			},
		}));
	const value = around("a")();
	task.patch_state = 1;
	value.set(0);
	expect([task.patch_state, value.get()]).toEqual([0, 0]);
	expect(seen).toEqual(["a writes 1", "a reads 0"]);
	around("b")();
	seen.length = 0;
	task.patch_state = 1;
	expect([seen, value.get()]).toEqual([["b writes 1", "a writes 1"], 1]);
});
