import type { MemoryOperand } from "../../x86/index.js";

export const READ = 1;
export const WRITE = 2;
/** Accesses further apart than this many bytes are checked apart. */
const MAX_SPAN = 1024;

/** The parts of which an address is made. */
export interface Where {
	/** The same string for the same registers. */
	readonly registers: string;
	/** The same string for the same values in them. */
	readonly values: string;
	/** Distance from those values. */
	readonly offset: number;
	/** The address itself, if it is a constant. */
	readonly absolute: bigint | undefined;
	/** The operand, if its registers have the values that they had where the stretch begins. */
	readonly early: MemoryOperand | undefined;
}

/** Accesses at fixed distances from each other: the check of the first one is for all of them. */
export interface Group {
	/** The first byte and the byte behind the last one, as distances like {@link Where.offset}. */
	low: number;
	high: number;
	/** READ, WRITE. */
	need: number;
	/** Once it has been checked: local with the place of `low` in the backing store. */
	host: number | undefined;
	/** How its addresses are made where the stretch begins, if it can be checked there. */
	readonly early: Where | undefined;
}

/** The groups that later accesses on the same way can join, by {@link Where.values}. */
export type OpenGroups = ReadonlyMap<string, readonly Group[]>;

/** The groups that are open on both ways: each was opened before the ways parted. */
export function commonGroups(some: OpenGroups, others: OpenGroups): OpenGroups {
	const common = new Map<string, readonly Group[]>();
	for (const [values, groups] of some) {
		const both = groups.filter((group) => others.get(values)?.includes(group));
		if (both.length > 0) common.set(values, both);
	}
	return common;
}

/**
 * The accesses to memory in a stretch of nodes, in groups that have one check. The stretch is emitted twice: into a draft,
 * where each access is added to the plan, and for good, where each access takes its group from the plan, in the same
 * order.
 */
export class AccessPlan {
	readonly #groups: Group[] = [];
	#next = 0;

	/** Adds an access; returns the groups that are open behind it. `atStart`: in the first node of the stretch. */
	add(open: OpenGroups, where: Where, bytes: number, need: number, atStart: boolean): OpenGroups {
		const low = where.offset;
		const high = low + bytes;
		const candidates = open.get(where.values) ?? [];
		const page = (offset: number): bigint => (where.absolute! + BigInt(offset - low)) >> 12n;
		const known = candidates.find(
			(group) =>
				Math.max(group.high, high) - Math.min(group.low, low) <= MAX_SPAN &&
				(where.absolute === undefined || page(group.low) === page(low)),
		);
		if (known === undefined) {
			const early = atStart && where.early !== undefined ? where : undefined;
			const group: Group = { low, high, need, host: undefined, early };
			this.#groups.push(group);
			return new Map(open).set(where.values, [...candidates, group]);
		}
		this.#groups.push(known);
		known.low = Math.min(known.low, low);
		known.high = Math.max(known.high, high);
		known.need |= need;
		return open;
	}

	/** The group of the next access. */
	take(): Group {
		const group = this.#groups[this.#next++];
		if (group === undefined) throw new Error("an access that was not planned");
		return group;
	}

	/** All groups, in the order of their first accesses. */
	groups(): ReadonlySet<Group> {
		return new Set(this.#groups);
	}
}
