import type { Kaddr } from "../../memory/index.js";
import type { Core } from "./design.js";
import { KLP_TRANSITION_IDLE, KLP_TRANSITION_PATCHED, KLP_TRANSITION_UNPATCHED, type klp_func } from "./types.js";

/** The words that a watch reads, beside those of its last reading. Not state: it only saves work. */
interface Reading {
	begin(): void;
	add(word: unknown): void;
	/** Called after all words are read. True if a word has changed, or if their number has. */
	changed(): boolean;
}

function reading(): Reading {
	const last: unknown[] = [];
	let length = -1;
	let at = 0;
	let same = false;
	return {
		begin() {
			at = 0;
			same = true;
		},
		add(word) {
			if (last[at] !== word) {
				last[at] = word;
				same = false;
			}
			at++;
		},
		changed() {
			const others = length !== at;
			length = at;
			return others || !same;
		},
	};
}

/** See Livepatch.watchStack(). */
export function watchStack(klp: Core, old_func: Kaddr): () => boolean {
	const { design } = klp;
	const words = reading();
	const sight = (func: klp_func) => {
		if (!func.transition) return 0;
		const states = [KLP_TRANSITION_IDLE, KLP_TRANSITION_UNPATCHED, KLP_TRANSITION_PATCHED];
		return states.reduce((bits, state, i) => bits | (Number(design.sees(func, state)) << i), 8);
	};
	return () => {
		words.begin();
		const ops = klp.patching.klp_find_ops(old_func);
		if (ops !== undefined) {
			for (let node = ops.func_stack.next; node !== ops.func_stack; node = node.next) {
				words.add(node);
				words.add(sight(node.owner!));
			}
		}
		// A handler of the design's own may read more of an entry than this.
		return words.changed() || (design.handler !== undefined && ops !== undefined);
	};
}

/** See Livepatch.watchPromises(). */
export function watchPromises(klp: Core): () => boolean {
	const words = reading();
	return () => {
		words.begin();
		for (const patch of klp.klp_patches) {
			words.add(patch);
			words.add(patch.enabled);
			for (const obj of patch.obj_list) {
				words.add(obj);
				words.add(obj.mod);
				words.add(obj.patched);
				words.add(obj.funcs.length);
			}
		}
		return words.changed();
	};
}
