/** A small exploration from end to end: each move that the search tells, the schedule that breaks, its replay, and the story. */
import { afterEach, beforeEach, expect, test } from "vitest";
import {
	type Model,
	type Move,
	type MoveObserver,
	minimise,
	Replayer,
	storyParts,
	tellStory,
} from "../../src/explore/index.js";
import { exploreModel, modelOf, PATCHES } from "./support.js";

const FORCED = `${PATCHES}
tasks: { worker: { calls: [funcC] } }
steps: [{ insmod: lp2 }, { force: lp2 }, settle]`;

let model: Model;
beforeEach(async () => {
	model = await modelOf(FORCED);
});
afterEach(() => model.machine.close());

async function violation() {
	const { result, violations, states, transitions, depth } = await exploreModel(await modelOf(FORCED));
	expect(result).toBe("violated");
	return { ...violations[0]!, counts: { states, transitions, depth } };
}

test("the search, the schedule and its story", async () => {
	const { broken, moves, counts } = await violation();
	expect(counts).toMatchInlineSnapshot(`
		{
		  "depth": 19,
		  "states": 223,
		  "transitions": 398,
		}
	`);
	expect(broken).toMatchInlineSnapshot(`
		{
		  "from": "original",
		  "func": "funcA",
		  "invariant": "switched-on-stack",
		  "message": "worker switches from original to lp2_funcA for funcA, while the original funcA is on its stack",
		  "task": "worker",
		  "to": "lp2_funcA",
		}
	`);
	const replayed = new Replayer(model).replay(moves, new Set([broken.invariant]));
	expect(replayed.at(-1)!.broken).toEqual([broken]);
	const names = model.tasks.map(({ name }) => name);
	expect(tellStory(replayed, model.functions, names)).toMatchInlineSnapshot(`
		"  1. worker: enters the kernel, enters funcA (funcs.c:29)
		  2. shell: insmod lp2: klp_init_transition: patch_state; klp_init_transition: func->transition (2 times); klp_patch_func: list_add_rcu; __register_ftrace_function: add_ftrace_ops; text_poke_bp_batch: first byte written (3 times); klp_patch_func: list_add_rcu; __register_ftrace_function: add_ftrace_ops; text_poke_bp_batch: first byte written; klp_start_transition: TIF_PATCH_PENDING (5 times); klp_start_transition: klp_cond_resched_enable; (worker on a CPU meanwhile); klp_try_switch_task: patch_state (4 times)
		       func_stack of funcA: [lp2_funcA]
		       func_stack of funcB: [lp2_funcB]
		       worker: IDLE -> UNPATCHED, sees (original, original)
		  3. shell: force lp2: klp_update_patch_state: test_and_clear_tsk_thread_flag; klp_update_patch_state: patch_state
		       worker: UNPATCHED -> PATCHED, sees (lp2_funcA, lp2_funcB)

		switched-on-stack: worker switches from original to lp2_funcA for funcA, while the original funcA is on its stack.
		  A task must not switch while it is inside an implementation that it leaves.
		"
	`);
	expect(storyParts(replayed, model.functions, names).steps.map(({ text }) => text)).toMatchInlineSnapshot(`
		[
		  "worker: enters the kernel, enters funcA (funcs.c:29)",
		  "shell: insmod lp2: klp_init_transition: patch_state; klp_init_transition: func->transition (2 times); klp_patch_func: list_add_rcu; __register_ftrace_function: add_ftrace_ops; text_poke_bp_batch: first byte written (3 times); klp_patch_func: list_add_rcu; __register_ftrace_function: add_ftrace_ops; text_poke_bp_batch: first byte written; klp_start_transition: TIF_PATCH_PENDING (5 times); klp_start_transition: klp_cond_resched_enable; (worker on a CPU meanwhile); klp_try_switch_task: patch_state (4 times)",
		  "shell: force lp2: klp_update_patch_state: test_and_clear_tsk_thread_flag; klp_update_patch_state: patch_state",
		]
	`);
});

test("an observer is told of each move and point in order", async () => {
	const { broken, moves } = await violation();
	const told: string[] = [];
	const observer: MoveObserver = {
		start: () => told.push("start"),
		begin: (move, title, task) => told.push(`${move.who} ${title} ${task?.comm}`),
		point: (label) => told.push(`  ${label}`),
		end: ({ points, told: shown, broken: found }) => told.push(`  = ${points.length} ${shown.length} ${found.length}`),
	};
	new Replayer(model).replay(moves, new Set([broken.invariant]), observer);
	expect(told.join("\n")).toMatchInlineSnapshot(`
		"start
		worker undefined worker
		  enters the kernel, enters funcA (funcs.c:29)
		  = 1 1 0
		shell insmod lp2 shell
		  klp_init_transition: patch_state
		  = 1 1 0
		shell insmod lp2 shell
		  klp_init_transition: func->transition
		  = 1 1 0
		shell insmod lp2 shell
		  klp_init_transition: func->transition
		  = 1 1 0
		shell insmod lp2 shell
		  klp_patch_func: list_add_rcu
		  = 1 1 0
		shell insmod lp2 shell
		  __register_ftrace_function: add_ftrace_ops
		  = 1 1 0
		shell insmod lp2 shell
		  text_poke_bp_batch: int3 written
		  = 1 0 0
		shell insmod lp2 shell
		  text_poke_bp_batch: tail written
		  text_poke_bp_batch: first byte written
		  text_poke_bp_batch: int3 written
		  = 3 1 0
		shell insmod lp2 shell
		  text_poke_bp_batch: tail written
		  text_poke_bp_batch: first byte written
		  text_poke_bp_batch: int3 written
		  = 3 1 0
		shell insmod lp2 shell
		  text_poke_bp_batch: tail written
		  = 1 0 0
		shell insmod lp2 shell
		  text_poke_bp_batch: first byte written
		  = 1 1 0
		shell insmod lp2 shell
		  klp_patch_func: list_add_rcu
		  = 1 1 0
		shell insmod lp2 shell
		  __register_ftrace_function: add_ftrace_ops
		  = 1 1 0
		shell insmod lp2 shell
		  text_poke_bp_batch: int3 written
		  = 1 0 0
		shell insmod lp2 shell
		  text_poke_bp_batch: tail written
		  = 1 0 0
		shell insmod lp2 shell
		  text_poke_bp_batch: first byte written
		  = 1 1 0
		shell insmod lp2 shell
		  klp_start_transition: TIF_PATCH_PENDING
		  klp_start_transition: TIF_PATCH_PENDING
		  klp_start_transition: TIF_PATCH_PENDING
		  klp_start_transition: TIF_PATCH_PENDING
		  klp_start_transition: TIF_PATCH_PENDING
		  klp_start_transition: klp_cond_resched_enable
		  = 6 6 0
		shell insmod lp2 shell
		  klp_try_switch_task: patch_state
		  klp_try_switch_task: patch_state
		  klp_try_switch_task: patch_state
		  klp_try_switch_task: patch_state
		  = 5 4 0
		shell force lp2 shell
		  klp_update_patch_state: test_and_clear_tsk_thread_flag
		  = 1 1 0
		shell force lp2 shell
		  klp_update_patch_state: patch_state
		  = 1 1 1"
	`);
});

test("a minimised schedule breaks the same; a move of nobody is impossible", async () => {
	const { broken, moves } = await violation();
	const replayer = new Replayer(model);
	const shortest = minimise(replayer, moves, broken.invariant);
	expect(replayer.replay(shortest, new Set([broken.invariant])).at(-1)!.broken).toEqual([broken]);
	const nobody = { ...moves[0]!, who: "nobody" };
	expect(() => replayer.replay([nobody], new Set())).toThrow(
		expect.objectContaining({ code: "REPLAY_IMPOSSIBLE", message: expect.stringContaining("move 1: nobody cannot") }),
	);
});

test("what begins with the same moves goes on from a state on the way, and comes to the same", async () => {
	const yaml = FORCED.replace("steps: [", "steps: [{ insmod: lp1 }, settle, ");
	const { violations } = await exploreModel(await modelOf(yaml));
	const { broken, moves } = violations[0]!;
	const replayer = new Replayer(await modelOf(yaml));
	const { world } = replayer;
	const invariants = new Set([broken.invariant]);
	let made = 0;
	for (const name of ["moveTask", "moveActor"] as const) {
		const move = world[name].bind(world) as (...args: unknown[]) => never;
		world[name] = (...args: unknown[]) => {
			made++;
			return move(...args);
		};
	}
	const outcome = (candidate: readonly Move[], observer?: MoveObserver) => {
		made = 0;
		try {
			const done = replayer.replay(candidate, invariants, observer);
			return { told: done.map(({ points, places, before, after, ...rest }) => [points, places, before, after, rest]) };
		} catch (error) {
			return { error: String(error) };
		}
	};
	const shorter = moves
		.map((_, i) => moves.filter((_other, j) => i !== j))
		.filter((_, i) => i % 4 === 3)
		.reverse();
	const [short, long]: number[][] = [[], []];
	const ends = shorter.map((candidate) => {
		const end = outcome(candidate);
		short!.push(made);
		return end;
	});
	// An observer is told of all moves.
	const all: MoveObserver = { start: () => {}, begin: () => {}, point: () => {}, end: () => {} };
	for (const [i, candidate] of shorter.entries()) {
		expect(outcome(candidate, all)).toEqual(ends[i]);
		long!.push(made);
	}
	const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
	expect(sum(short!)).toBeLessThan(0.9 * sum(long!));
});

test("moves as the search makes them", async () => {
	const seen: string[] = [];
	const states = new Map<number, string>();
	const yaml = `${PATCHES}\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ insmod: lp1 }]`;
	const { result } = await exploreModel(await modelOf(yaml), {
		onMove: ({ from, to, move: { who, steps, late, label }, describe }) => {
			seen.push(`${from} -> ${to}: ${who}${steps === 1 ? "" : ` x${steps}`}${late ? " late" : ""}: ${label}`);
			states.set(from, describe(from).join("; "));
		},
	});
	expect(result).toBe("complete");
	expect([...new Set(states.values())].slice(0, 8)).toMatchInlineSnapshot(`
		[
		  "funcA: []; funcB: []; IDLE: worker",
		  "transition of lp1; funcA: []; funcB: []; UNPATCHED: worker",
		  "transition of lp1; funcA: [lp1_funcA]; funcB: []; UNPATCHED: worker",
		  "transition of lp1; funcA: [lp1_funcA]; funcB: []; PATCHED: worker",
		  "transition of lp1; funcA: [lp1_funcA]; funcB: []; IDLE: worker",
		  "funcA: [lp1_funcA]; funcB: []; IDLE: worker",
		]
	`);
	expect([seen.length, ...seen.slice(0, 40)].join("\n")).toMatchInlineSnapshot(`
		"428
		0 -> 1: worker: enters the kernel, enters funcA
		0 -> 2: shell: klp_init_transition: patch_state
		1 -> 3: worker: is in the body of funcA
		1 -> 4: shell: klp_init_transition: patch_state
		2 -> 4: worker: enters the kernel, enters funcA
		2 -> 5: shell: klp_init_transition: func->transition
		3 -> 6: worker: returns to do_syscall_64
		3 -> 7: shell: klp_init_transition: patch_state
		4 -> 7: worker: is in the body of funcA
		4 -> 8: shell: klp_init_transition: func->transition
		5 -> 8: worker: enters the kernel, enters funcA
		5 -> 9: shell: klp_patch_func: list_add_rcu
		6 -> 0: worker: returns to user mode
		6 -> 10: shell: klp_init_transition: patch_state
		7 -> 10: worker: returns to do_syscall_64
		7 -> 11: shell: klp_init_transition: func->transition
		8 -> 11: worker: is in the body of funcA
		8 -> 12: shell: klp_patch_func: list_add_rcu
		9 -> 12: worker: enters the kernel, enters funcA
		9 -> 13: shell: __register_ftrace_function: add_ftrace_ops
		10 -> 2: worker: returns to user mode
		10 -> 14: shell: klp_init_transition: func->transition
		11 -> 14: worker: returns to do_syscall_64
		11 -> 15: shell: klp_patch_func: list_add_rcu
		12 -> 15: worker: is in the body of funcA
		12 -> 16: shell: __register_ftrace_function: add_ftrace_ops
		13 -> 16: worker: enters the kernel, enters funcA
		13 -> 17: shell: text_poke_bp_batch: int3 written
		14 -> 5: worker: returns to user mode
		14 -> 18: shell: klp_patch_func: list_add_rcu
		15 -> 18: worker: returns to do_syscall_64
		15 -> 19: shell: __register_ftrace_function: add_ftrace_ops
		16 -> 19: worker: is in the body of funcA
		16 -> 20: shell: text_poke_bp_batch: int3 written
		17 -> 20: worker: enters the kernel, enters funcA
		17 -> 21: shell x3: text_poke_bp_batch: int3 written
		18 -> 9: worker: returns to user mode
		18 -> 22: shell: __register_ftrace_function: add_ftrace_ops
		19 -> 22: worker: returns to do_syscall_64
		19 -> 23: shell: text_poke_bp_batch: int3 written"
	`);
});

test("the search tells how many states it has seen, and of each state what its tasks are", async () => {
	const counts: number[] = [];
	const told = new Set<string>();
	const small = `${PATCHES}\ntasks: { worker: { calls: [funcA], exit: true } }\nsteps: [{ insmod: lp1 }, settle]`;
	await exploreModel(await modelOf(small), {
		onProgress: (count) => counts.push(count),
		onMove: ({ from, describe }) => {
			for (const line of describe(from)) told.add(line);
		},
	});
	expect(counts.length).toBeGreaterThan(0);
	expect([...told].sort()).toEqual(
		expect.arrayContaining(["transition of lp1", "funcA: [lp1_funcA]", "UNPATCHED: worker", "dead: worker"]),
	);
});

test("universe: the points at which the entries of the replaced patch are marked have names", async () => {
	const replacing = `${PATCHES}\ntasks: {}\nsteps: [{ insmod: lp1 }, settle, { insmod: lp3 }, settle]`;
	const labels = new Set<string>();
	await exploreModel(await modelOf(replacing, "universe"), { onMove: ({ move }) => labels.add(move.label) });
	expect([...labels].filter((label) => label.startsWith("klp_init_transition: func")).sort()).toEqual([
		"klp_init_transition: func->transition",
		"klp_init_transition: func->universe",
	]);
});
