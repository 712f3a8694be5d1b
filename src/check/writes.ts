import { lowerBound } from "../base/index.js";
import { type Code, codeOf } from "./code.js";
import type { ModuleFile, Spot } from "./module-file.js";
import { followRegisters } from "./registers.js";

interface Traffic {
	readonly stores: readonly { readonly at: Spot; readonly by: string }[];
	/** Addresses that are put into registers. */
	readonly taken: readonly { readonly at: Spot; readonly by: string }[];
}

/** An instruction of a function that concerns a byte of a section. */
interface Access {
	readonly offset: number;
	readonly by: string;
}

/** By offset. */
interface Accesses {
	readonly stores: readonly Access[];
	readonly taken: readonly Access[];
}

/** What code does to variables: it answers which data of the file may be different when they are used. */
export class Writes {
	readonly #file: ModuleFile;
	/** Functions that refer to a section, by section. */
	readonly #users = new Map<number, Code[]>();
	readonly #accesses = new Map<number, Accesses>();
	readonly #traffic = new Map<string, Traffic>();

	constructor(file: ModuleFile) {
		this.#file = file;
	}

	/** Functions that write bytes of [offset, end) of a section, with the bytes' offsets. */
	into(section: number, offset: number, end: number): readonly Access[] {
		return between(this.#accessesTo(section).stores, offset, end);
	}

	/** The first function that takes the address of something in [offset, end): it may write there, in a loop or by a call. */
	addressTaken(section: number, offset: number, end: number): string | undefined {
		return between(this.#accessesTo(section).taken, offset, end)[0]?.by;
	}

	#accessesTo(section: number): Accesses {
		let accesses = this.#accesses.get(section);
		if (accesses === undefined) {
			const users = this.#usersOf(section).map((code) => this.#trafficOf(code));
			const here = (list: readonly Traffic["stores"][number][]): Access[] =>
				list
					.filter(({ at }) => at.section === section)
					.map(({ at, by }) => ({ offset: at.offset, by }))
					.sort((a, b) => a.offset - b.offset);
			accesses = {
				stores: here(users.flatMap(({ stores }) => stores)),
				taken: here(users.flatMap(({ taken }) => taken)),
			};
			this.#accesses.set(section, accesses);
		}
		return accesses;
	}

	#usersOf(section: number): Code[] {
		let users = this.#users.get(section);
		if (users !== undefined) return users;
		const found = new Map<string, Code>();
		for (const holder of this.#file.object.sections) {
			for (const { symbol, offset } of holder.relocations) {
				if (symbol.section !== section || !this.#file.isCode({ section: holder.index, offset: 0 })) continue;
				const user = this.#file.symbolAt({ section: holder.index, offset });
				if (user !== undefined && found.size < MAX_USERS) found.set(`${holder.index}:${user.value}`, codeOf(user));
			}
		}
		users = [...found.values()];
		this.#users.set(section, users);
		return users;
	}

	#trafficOf(code: Code): Traffic {
		const key = `${code.section}:${code.offset}`;
		const known = this.#traffic.get(key);
		if (known !== undefined) return known;
		const stores: { at: Spot; by: string }[] = [];
		const taken: { at: Spot; by: string }[] = [];
		followRegisters(this.#file, code, ({ store, address }) => {
			if (store !== undefined) stores.push({ at: store, by: code.name });
			if (address !== undefined) taken.push({ at: address, by: code.name });
		});
		const traffic = { stores, taken };
		this.#traffic.set(key, traffic);
		return traffic;
	}
}

/** Functions that are followed for one section. */
const MAX_USERS = 1000;

/** The accesses in [offset, end) of a sorted list. */
function between(sorted: readonly Access[], offset: number, end: number): readonly Access[] {
	const first = (from: number) => lowerBound(sorted.length, (index) => sorted[index]!.offset >= from);
	return sorted.slice(first(offset), first(end));
}
