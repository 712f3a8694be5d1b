import { KlpemuError } from "../../base/index.js";
import type { World } from "../world/index.js";
import type { SentNotes } from "./executions.js";

/**
 * Lets actors make steps in a world, and nothing that they note counts: about memory, or how steps of the scenario end. It counts with
 * noteIn(). Throws `EXPLORE_AHEAD` if they have changed what is watched, after that was taken back.
 */
export function aside<T>({ shared, model }: World, work: () => T): { readonly result: T; readonly notes: SentNotes } {
	const { notes, functions } = model;
	const before = notes?.watched() ?? [];
	const count = functions.length;
	const inner = () => shared.aside(work);
	const { result: made, notes: ofModel } = notes?.aside(inner) ?? { result: inner(), notes: [] };
	if (functions.length !== count) {
		notes?.watch(before);
		throw new KlpemuError("EXPLORE_AHEAD", "a step that was made ahead has named a function that was not watched");
	}
	return { result: made.result, notes: { memory: made.notes, model: ofModel } };
}
