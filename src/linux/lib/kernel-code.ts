import { declareState } from "../../base/index.js";
/**
 * Kernel code that others can race with is a generator. It yields after each access that the kernel orders or locks around:
 * a label, where anybody else may run, or a {@link Wait}, where somebody else must. Who drives the generator decides what
 * happens there: `run` goes straight on (and checks the invariants), `explore` tries everything.
 */
export type Kernel<T> = Generator<Point, T, void>;

/** `"klp_patch_func: list_add_rcu"`: function and what it just did. */
export type Point = string | Wait;

export interface Wait {
	readonly label: string;
	/** Must hold before the generator may go on. */
	ready(): boolean;
	/** Only of a {@link place}. */
	readonly at?: readonly (string | number | boolean)[];
}

/**
 * The beginning of a turn of a loop: nothing has happened that somebody could see, and nobody need wait. `at` holds all that the
 * loop remembers from the turns before, so that the explorer can tell two turns that go on alike, whatever led there.
 */
export function place(label: string, ...at: readonly (string | number | boolean)[]): Wait {
	return { label, ready: () => true, at };
}

/** A sleeping lock. `holder` is for messages only. */
export class mutex {
	static readonly state = declareState({ fields: "all" });

	readonly name: string;
	locked = false;

	constructor(name: string) {
		this.name = name;
	}

	*lock(): Kernel<void> {
		// Of several that wait, each looks again: another may have been faster.
		while (this.locked) yield { label: `mutex_lock(${this.name})`, ready: () => !this.locked };
		this.locked = true;
	}

	unlock(): void {
		this.locked = false;
	}
}

/** Drives kernel code to its end. A wait whose condition does not hold is `block`ed on, which must make it hold or throw. */
export function runStraight<T>(
	code: Kernel<T>,
	visit: (label: string) => void = () => {},
	block: (wait: Wait) => void = (wait) => {
		throw new Error(`${wait.label}: would wait forever, nobody else runs`);
	},
): T {
	for (;;) {
		const { done, value } = code.next();
		if (done) return value as T;
		if (typeof value === "string") visit(value);
		else if (!value.ready()) block(value);
	}
}
