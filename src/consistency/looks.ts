import { KLP_TRANSITION_IDLE, KLP_TRANSITION_PATCHED, KLP_TRANSITION_UNPATCHED } from "../linux/klp/index.js";
import type { Machine } from "../machine/index.js";
import { executableOf, type FromTo, type Look, stackOf } from "./look.js";
import { implementationOf, promisedView, type View } from "./view.js";
import type { WatchedFunction } from "./watched.js";

const STATES = [KLP_TRANSITION_IDLE, KLP_TRANSITION_UNPATCHED, KLP_TRANSITION_PATCHED];
const EMPTY: View = { codes: [], names: [], ranges: [] };

/** The implementations of a function, and a check that they may have changed. */
interface Known {
	readonly there: ReturnType<WatchedFunction["resolve"]>;
	readonly changed: () => boolean;
}

/**
 * A sequence of looks at a running machine. Each one equals the result of lookAt(), but only the parts that have
 * changed since the one before are made again; unchanged parts are the same objects. A transition of 500 functions has
 * about 10,000 points.
 */
export class Looks {
	readonly #machine: Machine;
	readonly #functions: readonly WatchedFunction[];
	#known: Known[] = [];
	#modules: readonly unknown[] = [];
	readonly #promisesChanged: () => boolean;
	#executable: readonly number[] | undefined = undefined;
	#views: readonly View[] = [EMPTY, EMPTY, EMPTY];
	#promised = EMPTY;
	#stacks: readonly (readonly string[])[] = [];

	constructor(machine: Machine, functions: readonly WatchedFunction[]) {
		this.#machine = machine;
		this.#functions = functions;
		this.#promisesChanged = machine.klp.watchPromises();
		const forget = () => {
			this.#executable = undefined;
		};
		machine.memory.listen({ mapped: forget, unmapped: forget, protectionChanged: forget });
	}

	/** See lookAt(). */
	now(transition: FromTo | undefined): Look {
		const { klp, memory } = this.#machine;
		const resolved = this.#resolveAll();
		this.#lookAtStacks();
		if (this.#promisesChanged() || resolved) this.#promised = promisedView(klp, this.#functions, "now");
		this.#executable ??= executableOf(memory);
		return {
			views: this.#views,
			fromTo: transition,
			promised: this.#promised,
			inTransition: klp.inTransition,
			executable: this.#executable,
			stacks: this.#stacks,
		};
	}

	/** Finds the addresses of the functions again, if modules or functions were added or removed. */
	#resolveAll(): boolean {
		const { modules, kallsyms } = this.#machine;
		const now: unknown[] = [this.#functions.length, ...kallsyms.images];
		for (const module of modules.values()) now.push(module, module.live);
		const same = now.length === this.#modules.length && now.every((word, i) => word === this.#modules[i]);
		if (same) return false;
		this.#modules = now;
		this.#known = this.#functions.map((func) => {
			const there = func.resolve();
			return { there, changed: this.#machine.klp.watchStack(there?.address ?? 0) };
		});
		return true;
	}

	#lookAtStacks(): void {
		const { klp } = this.#machine;
		let views: View[] | undefined;
		let stacks: (readonly string[])[] | undefined;
		for (let i = 0; i < this.#known.length; i++) {
			const { there, changed } = this.#known[i]!;
			if (!changed()) continue;
			stacks ??= [...this.#stacks];
			stacks[i] = stackOf(klp, there);
			views ??= [...this.#views];
			for (let state = 0; state < STATES.length; state++) {
				views[state] = this.#viewWith(views[state]!, state, i, there);
			}
		}
		this.#views = views ?? this.#views;
		this.#stacks = stacks ?? this.#stacks;
	}

	/**
	 * The view with the present implementation of function `i` for a task in that state; the same object if it has not
	 * changed.
	 */
	#viewWith(view: View, state: number, i: number, there: Known["there"]): View {
		const { klp } = this.#machine;
		const { code, name, range } = implementationOf(there, (old_func) => klp.wouldRun(old_func, STATES[state]!));
		const [start, size] = view.ranges[i] ?? [];
		if (view.codes[i] === code && view.names[i] === name && start === range[0] && size === range[1]) return view;
		// A copy that was made for this look may be changed: no caller has it yet.
		const mine = view === this.#views[state] ? copy(view) : (view as ReturnType<typeof copy>);
		mine.codes[i] = code;
		mine.names[i] = name;
		mine.ranges[i] = range;
		return mine;
	}
}

function copy({ codes, names, ranges }: View) {
	return { codes: [...codes], names: [...names], ranges: [...ranges] };
}
