import { declareState } from "../../base/index.js";
import { RIP } from "../../cpu/index.js";
import { isKaddr, type Kaddr, toKaddr } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import { type CallWatch, GuestFault } from "../guest/index.js";
import type { KlpObserver, klp_patch } from "../klp/index.js";
import { done, type Kernel } from "../lib/index.js";
import { type HostTasks, preemptible, type Sched, type task_struct } from "../sched/index.js";
import type { Patches } from "./patches.js";
import { equal, type RememberedReads } from "./remember.js";

/** Instructions of the core between two looks, for few tasks. */
const STEP = 16;

interface Parts {
	readonly patches: Patches;
	readonly sched: Sched;
	readonly hostTasks: HostTasks;
	readonly symbols: Symbols;
	readonly observers: Iterable<KlpObserver>;
	/** Addresses of patch_state and thread flags. */
	readonly wordsOf: (task: task_struct) => readonly Kaddr[];
	/** What the module's own code enables, as observers know patches. */
	readonly describe: (patch: Kaddr) => klp_patch;
}

/**
 * What the core does, for observers: a point of kernel code after changes of the words on which calls depend, and the events
 * of a transition. The C has no such points of its own, so the words are compared every few instructions.
 */
export class CoreEvents implements CallWatch {
	static readonly state = declareState("CoreEvents", {
		fields: [],
		unkeyed: ["words", "transition", "target", "known", "left"],
		dropCaches: (events: CoreEvents) => events.#reads.forget(),
	});

	readonly #parts: Parts;
	readonly #reads: RememberedReads;
	private words: readonly number[] = [];
	private transition: Kaddr = 0;
	private target = -1;
	/** Patches that observers have been told of. */
	private readonly known = new Set<Kaddr>();
	/** Instructions until the task that runs the core is preempted. */
	private left = 0;

	constructor(parts: Parts) {
		this.#parts = parts;
		this.#reads = parts.patches.remember();
	}

	/** With many tasks a look costs more, and loops over them are longer. */
	get step(): number {
		return STEP * (1 + (this.#parts.sched.tasks.length >> 6));
	}

	/** Observers know of the patch. */
	told(patch: Kaddr): void {
		this.known.add(patch);
	}

	*look(task: task_struct): Kernel<void> {
		if (this.#changed()) {
			const where = this.#where(task);
			const ended = this.#tell();
			yield ended ? done(where) : where;
		}
		yield* this.#preempt(task);
	}

	/** The same without a point of kernel code. True if a transition has ended. */
	check(): boolean {
		return this.#changed() && this.#tell();
	}

	/** Whether the words are others than at the last look. */
	#changed(): boolean {
		const { patches, sched } = this.#parts;
		const from = [...sched.tasks, ...patches.ops()];
		if (this.#reads.same(from)) return false;
		const now = this.#reads.read(from, () => this.#read());
		if (now === undefined || equal(now, this.words)) return false;
		this.words = now;
		return true;
	}

	/** The function that the task is in. */
	#where(task: task_struct): string {
		const rip = task.regs.words[RIP]!;
		return isKaddr(rip) ? this.#parts.symbols.sprint_symbol(toKaddr(rip), true) : "?";
	}

	/** All words that decide about calls; undefined while the core's structs cannot be read. */
	#read(): number[] | undefined {
		const { patches, sched, wordsOf } = this.#parts;
		try {
			const words = [patches.klp_transition_patch, patches.klp_target_state];
			for (const task of sched.all()) for (const at of wordsOf(task)) words.push(patches.word(at));
			patches.addWords(words);
			return words;
		} catch (error) {
			if (error instanceof GuestFault) return undefined;
			throw error;
		}
	}

	/** Tells of patches and of the transition. True if a transition has ended. */
	#tell(): boolean {
		const { patches, observers, describe } = this.#parts;
		const all = patches.patches();
		for (const known of this.known) if (!all.includes(known)) this.known.delete(known);
		for (const patch of all) {
			if (this.known.has(patch)) continue;
			this.known.add(patch);
			const described = describe(patch);
			for (const observer of observers) observer.enable?.(described);
		}
		const { klp_transition_patch: patch, klp_target_state: target } = patches;
		const [before, was] = [this.transition, this.target];
		this.transition = patch;
		this.target = target;
		if (patch === 0) return before !== 0;
		if (target < 0) {
			// klp_init_transition() stores the patch first, and its target behind that: the transition is told of then. At the end
			// of a transition, the target goes first.
			if (before !== patch) this.transition = 0;
			return false;
		}
		const what = before !== patch ? "init" : was !== target && was >= 0 && target >= 0 ? "reverse" : undefined;
		if (what === undefined) return false;
		const described = describe(patch);
		for (const observer of observers) observer.transition?.(what, described, target);
		return false;
	}

	/** The end of a slice: other tasks run before this one goes on. A kworker loses its CPU behind its points (machine/rounds.ts). */
	*#preempt(task: task_struct): Kernel<void> {
		const { sched, hostTasks } = this.#parts;
		if (sched.preemption !== "full" || task !== hostTasks.shell) return;
		this.left -= this.step;
		if (this.left > 0 || task.on_cpu < 0 || !preemptible(task)) return;
		const { jiffies } = sched;
		yield { kind: "wait", label: "preempt_schedule_irq", preempted: true, ready: () => sched.jiffies > jiffies };
		this.left = sched.slice();
	}
}
