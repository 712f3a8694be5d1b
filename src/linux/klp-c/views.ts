import { type Kaddr, type Memory, toU64 } from "../../memory/index.js";
import { GuestFault } from "../guest/index.js";
import { type Implementation, KLP_TRANSITION_PATCHED, type KlpObserver } from "../klp/index.js";
import type { CoreImage } from "./core-image.js";
import type { Patches } from "./patches.js";
import { equal } from "./remember.js";
import { fieldOf } from "./scenario-keys.js";
import type { Scratch } from "./scratch.js";

interface Parts {
	readonly core: CoreImage;
	readonly patches: Patches;
	readonly scratch: Scratch;
	readonly observers: Iterable<KlpObserver>;
	/** Memory for a struct task_struct that is no task's. */
	readonly task: Kaddr;
}

/** What tasks would run. The core itself is asked: its own klp_ftrace_handler() is run for a task that does not exist. */
export class Views {
	readonly #core: CoreImage;
	readonly #memory: Memory;
	readonly #patches: Patches;
	readonly #scratch: Scratch;
	readonly #observers: Iterable<KlpObserver>;
	readonly #task: Kaddr;
	readonly #handler: Kaddr;
	readonly #current: Kaddr;

	constructor({ core, patches, scratch, observers, task }: Parts) {
		this.#core = core;
		this.#memory = core.memory;
		this.#patches = patches;
		this.#scratch = scratch;
		this.#observers = observers;
		this.#task = task;
		this.#handler = core.address("klp_ftrace_handler");
		this.#current = (scratch.area + core.percpuOffset("pcpu_hot", "current_task")) | 0;
	}

	/** See Livepatch.wouldRun(). */
	wouldRun(old_func: Kaddr, patch_state: number): Implementation | undefined {
		const ops = this.#patches.klp_find_ops(old_func);
		if (ops === 0) return undefined;
		const stack = this.#patches.stackOf(ops);
		if (stack.length === 0) return undefined;
		const before = this.#structs(ops, stack);
		const chosen = this.#ask(old_func, (ops + this.#core.layout.offset("klp_ops.fops")) | 0, patch_state);
		const after = this.#structs(ops, stack);
		if (before.some((words, i) => words.some((word, at) => word !== after[i]![at]))) {
			this.#tell(`klp_ftrace_handler() has changed the func_stack that it reads`);
		}
		if (chosen === 0) return undefined;
		const entry = stack.map((func) => this.#patches.func(func)).find((func) => func?.new_func === chosen);
		if (entry === undefined) this.#tell("klp_ftrace_handler() has chosen code that no entry of the func_stack has");
		return entry;
	}

	#tell(what: string): void {
		for (const observer of this.#observers) observer.invalidRead?.(what);
	}

	/** The structs that the handler reads, each as words of 32 bits: reading words of 64 makes a bigint of each. */
	#structs(ops: Kaddr, stack: readonly Kaddr[]): Int32Array[] {
		const { layout } = this.#core;
		const read = (at: Kaddr, type: string) => {
			const bytes = this.#memory.read(at, layout.size(type) & ~3);
			return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
		};
		return [read(ops, "struct klp_ops"), ...stack.map((func) => read(func, "struct klp_func"))];
	}

	/** The ip that the handler stores; 0: none. */
	#ask(ip: Kaddr, fops: Kaddr, patch_state: number): Kaddr {
		const { layout } = this.#core;
		const memory = this.#memory;
		this.#core.initPerCpu(this.#scratch.area);
		memory.setU64(this.#current, toU64(this.#task));
		memory.setU32((this.#task + layout.offset("task_struct.patch_state")) | 0, patch_state >>> 0);
		memory.setU64((this.#task + layout.offset("task_struct.trace_recursion")) | 0, 0n);
		const fregs = this.#scratch.page;
		const at = (fregs + layout.offset("pt_regs.ip")) | 0;
		memory.setU64(at, 0n);
		if (this.#scratch.call(this.#handler, toU64(ip), 0n, toU64(fops), toU64(fregs)) === undefined) {
			this.#tell("klp_ftrace_handler() faults");
			return 0;
		}
		return memory.kaddr(at);
	}

	/** See Livepatch.promised(): what mainline promises, or a proposal whose field is known. */
	promised(when: "now" | "after", old_func: Kaddr): Implementation | undefined {
		const enabled = when === "now" ? this.#enabled() : this.#enabledAfter();
		for (const patch of [...enabled].reverse()) {
			for (const object of this.#patches.objects(patch)) {
				for (const address of this.#patches.funcs(object)) {
					if (this.#patches.pointer(address, "klp_func.old_func") !== old_func) continue;
					const func = this.#patches.func(address);
					if (func !== undefined && !func.nop) return func;
				}
			}
		}
		return undefined;
	}

	#enabled(): Kaddr[] {
		return this.#patches.patches().filter((patch) => this.#patches.bool(patch, "klp_patch.enabled"));
	}

	/** The patches that will be enabled when the running transition has reached its target. */
	#enabledAfter(): Kaddr[] {
		const { klp_transition_patch: patch, klp_target_state } = this.#patches;
		const others = this.#enabled().filter((other) => other !== patch);
		if (patch === 0 || klp_target_state !== KLP_TRANSITION_PATCHED) return others;
		if (!this.#patches.bool(patch, "klp_patch.replace")) return [...others, patch];
		return [...others.filter((other) => this.#stays(other)), patch];
	}

	/** A core with a proposed field for `replaceable` in struct klp_patch promises that the others stay. */
	#stays(patch: Kaddr): boolean {
		const proposed = fieldOf(this.#core.layout, "klp_patch", "replaceable");
		return proposed !== undefined && this.#patches.bool(patch, proposed.field) === proposed.opposite;
	}

	/** See Livepatch.watchStack(). */
	watchStack(old_func: Kaddr): () => boolean {
		const ops = () => this.#patches.klp_find_ops(old_func);
		return this.#watch(ops, (ops, words) => {
			words.push(ops);
			if (ops === 0) return;
			for (const func of this.#patches.stackOf(ops)) {
				words.push(func, Number(this.#patches.bool(func, "klp_func.transition")));
			}
		});
	}

	/** See Livepatch.watchPromises(). */
	watchPromises(): () => boolean {
		return this.#watch(
			() => 0,
			(_, words) => {
				for (const patch of this.#patches.patches()) {
					words.push(patch, Number(this.#patches.bool(patch, "klp_patch.enabled")));
					for (const object of this.#patches.objects(patch)) {
						words.push(object, this.#patches.pointer(object, "klp_object.mod"));
						for (const func of this.#patches.funcs(object))
							words.push(this.#patches.pointer(func, "klp_func.old_func"));
					}
				}
			},
		);
	}

	/** A watch of the words that `read` adds, from what `start` gives on. Lists that lead into freed memory count as changed. */
	#watch(start: () => Kaddr, read: (from: Kaddr, words: number[]) => void): () => boolean {
		let last: number[] | undefined;
		const reads = this.#patches.remember();
		return () => {
			const from = start();
			if (reads.same([from])) return false;
			const words: number[] = [];
			try {
				reads.read([from], () => read(from, words));
			} catch (error) {
				if (!(error instanceof GuestFault)) throw error;
				words.push(Number.NaN);
			}
			const same = last !== undefined && equal(last, words);
			last = words;
			return !same;
		};
	}
}
