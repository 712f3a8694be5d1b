/** Transitions: time and steps from enable to complete, against tasks, patched functions and stack depth. */

import { THREAD_SIZE } from "../../src/linux/sched/index.js";
import type { Machine } from "../../src/machine/index.js";
import { benchMachine, enable, type Measured, type Part, type Timed, timed } from "../common/index.js";

/**
 * Places of the tasks when the livepatch is enabled:
 * `outside`: in user mode, or never run at all; they switch in the first pass, without a check of their stack.
 * `asleep`: in the kernel, asleep below some frames of code that is not patched: each stack is walked.
 * `busy`: runnable, on four CPUs, calling the patched functions repeatedly: they switch when they leave the kernel.
 */
export type Place = "outside" | "asleep" | "busy";

export interface Point {
	readonly place: Place;
	readonly tasks: number;
	readonly functions: number;
	/** Frames of each task's stack above its entry; `asleep` only. */
	readonly depth: number;
}

/** A curve: all points, differing in `x`. */
export interface Curve {
	readonly id: string;
	readonly what: string;
	readonly x: "tasks" | "functions" | "depth";
	readonly points: readonly Point[];
}

const CPUS = 4;
const MAX_ROUNDS = 1_000_000;
/** Enough memory for all stacks: machines of one size share the modules that the jit has compiled. */
const MEMORY_BYTES = (16 << 20) + 10_000 * THREAD_SIZE;
/** A point is measured this many times, or for this many milliseconds; the fastest time is used. */
const REPEAT = { times: 5, milliseconds: 200 };

const vary = <X extends keyof Point>(base: Point, x: X, values: readonly Point[X][]): Point[] =>
	values.map((value) => ({ ...base, [x]: value }));

/** `smoke`: the same curves with a small end, each point measured once. */
export function curves(smoke: boolean): Curve[] {
	const most = (values: readonly number[]) => (smoke ? values.slice(0, 2) : values);
	const base: Point = { place: "outside", tasks: smoke ? 20 : 1000, functions: 10, depth: 1 };
	const tasks = most([10, 100, 1000, 10_000, 100_000]);
	const stacks = most([10, 100, 1000, 10_000]);
	return [
		{ id: "tasks/outside", what: "tasks outside the kernel", x: "tasks", points: vary(base, "tasks", tasks) },
		{
			id: "tasks/asleep",
			what: "tasks asleep in the kernel, 4 frames deep",
			x: "tasks",
			points: vary({ ...base, place: "asleep", depth: 4 }, "tasks", stacks),
		},
		{
			id: "tasks/busy",
			what: "busy tasks on 4 CPUs",
			x: "tasks",
			points: vary({ ...base, place: "busy" }, "tasks", stacks),
		},
		{
			id: "functions",
			what: "patched functions, tasks asleep",
			x: "functions",
			points: vary({ ...base, place: "asleep", depth: 4 }, "functions", most([1, 10, 100, 1000])),
		},
		{
			id: "depth",
			what: "frames on each stack, tasks asleep",
			x: "depth",
			points: vary({ ...base, place: "asleep" }, "depth", most([1, 4, 16, 64, 90])),
		},
		...goals(smoke),
	];
}

/** The goal: 10,000 tasks x 100 functions settle within 2 s, for each place of the tasks. */
function goals(smoke: boolean): Curve[] {
	const point = { tasks: smoke ? 100 : 10_000, functions: smoke ? 10 : 100, depth: 4 };
	const places: readonly Place[] = ["outside", "asleep", "busy"];
	return places.map((place) => ({
		id: `goal/${place}`,
		what: `${point.tasks} tasks (${place}) x ${point.functions} functions`,
		x: "tasks",
		points: [{ place, ...point }],
	}));
}

/** Measures all points of all curves once, in this process. */
export async function transitions(design: string, cpu: string, smoke: boolean): Promise<Part> {
	const rows: Measured[] = [];
	// Warm-up: the compilation for the first transition must not count for the first point.
	for (const place of ["outside", "asleep", "busy"] as const) {
		await measure({ place, tasks: 100, functions: smoke ? 10 : 1000, depth: 4 }, design, cpu);
	}
	for (const { id, what, x, points } of curves(smoke)) {
		for (const point of points) {
			const settled = await repeat(smoke ? 1 : REPEAT.times, () => measure(point, design, cpu));
			const { steps, rounds, instructions } = settled[0]!;
			const label = points.length === 1 ? what : `${what}: ${point[x]}`;
			const key = { suite: "transitions", id: `${id}/${point[x]}`, what: label, design, cpu };
			const { milliseconds: value, crowding } = settled.reduce((a, b) => (b.milliseconds < a.milliseconds ? b : a));
			rows.push(
				{ ...key, unit: "ms", value, exact: false, crowding },
				{ ...key, unit: "points", value: steps, exact: true },
				{ ...key, unit: "rounds", value: rounds, exact: true },
				{ ...key, unit: "insns", value: instructions, exact: true },
			);
		}
	}
	return { rows, absent: [] };
}

async function repeat(times: number, once: () => Promise<Settled>): Promise<Settled[]> {
	const out: Settled[] = [];
	for (let spent = 0; out.length < times && spent < REPEAT.milliseconds; ) {
		const settled = await once();
		spent += settled.milliseconds;
		out.push(settled);
	}
	return out;
}

interface Settled extends Timed {
	/** Steps of kernel code that other tasks could see. */
	readonly steps: number;
	readonly rounds: number;
	readonly instructions: number;
}

async function measure(point: Point, design: string, cpu: string): Promise<Settled> {
	const machine = await benchMachine("many.c", { design, cpu, cpus: CPUS, memoryBytes: MEMORY_BYTES });
	populate(machine, point);
	let steps = 0;
	machine.observe({ point: () => steps++ });
	const { sched } = machine;
	const [round, instruction] = [sched.jiffies, sched.instructions];
	const funcs = Array.from({ length: point.functions }, (_, i) => [funcName(i), `lp_${funcName(i)}`] as const);
	let refused: string | undefined;
	let settled = false;
	const took = timed(() => {
		refused = enable(machine, "lp", { funcs });
		settled = machine.settle(MAX_ROUNDS);
	});
	if (refused !== undefined || !settled) throw new Error(`the transition fails: ${refused ?? "it does not end"}`);
	check(machine, point, machine.dmesg.lines());
	machine.close();
	return { ...took, steps, rounds: sched.jiffies - round, instructions: sched.instructions - instruction };
}

function funcName(i: number): string {
	return `f${String(i).padStart(3, "0")}`;
}

function address(machine: Machine, name: string): number {
	return machine.vmlinux.symbol(name)!.address;
}

function populate(machine: Machine, { place, tasks, functions, depth }: Point): void {
	const { sched, memory } = machine;
	for (let i = 0; i < tasks; i++) {
		const name = `task/${i}`;
		const patched = [i, i + 1].map((index) => address(machine, funcName(index % functions)));
		if (place === "outside") machine.tasks.add({ name, kthread: false, calls: patched, idle: true });
		else if (place === "busy") machine.tasks.add({ name, kthread: false, calls: patched });
		else machine.tasks.add({ name, kthread: false, calls: [address(machine, "sleep_deep")] });
	}
	if (place === "asleep") {
		memory.setU64(address(machine, "bench_depth"), BigInt(depth));
		const awake = () => sched.tasks.some((task) => task.__state === 0 && task !== machine.shell.task);
		for (let i = 0; awake(); i += 100) {
			if (i > MAX_ROUNDS) throw new Error("the tasks do not fall asleep");
			for (let round = 0; round < 100; round++) machine.round();
		}
	}
	// Each busy task has had about one slice: many are in the middle of kernel code.
	if (place === "busy") for (let i = 0; i < (2 * tasks) / CPUS; i++) machine.round();
}

/**
 * Checks that the transition was complete: all tasks have switched, all functions are patched, and no warning was
 * printed.
 */
function check(machine: Machine, { functions }: Point, dmesg: readonly string[]): void {
	let patched = 0;
	for (let i = 0; i < functions; i++) {
		if (machine.klp.funcStack(address(machine, funcName(i))).length > 0) patched++;
	}
	const complete = dmesg.some((line) => line === "livepatch: 'lp': patching complete");
	if (patched !== functions || !complete)
		throw new Error(`${patched} of ${functions} functions patched:\n${dmesg.join("\n")}`);
	if (machine.dmesg.warnings.length > 0) throw new Error(machine.dmesg.warnings.join("\n"));
}
