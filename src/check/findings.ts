import { KINDS, type Kind, type KindName, type Weight } from "./kinds.js";
import type { Finding, Place } from "./types.js";

const WEIGHTS: readonly Weight[] = ["refused", "wrong", "remark"];
/** Findings of one kind that are told; a damaged file may have one for each byte. */
const MAX_OF_A_KIND = 100;

/** Collects findings, and what was looked at and what was not. */
export class Findings {
	readonly #all: Finding[] = [];
	readonly #counts = new Map<KindName, number>();
	readonly #seen = new Set<string>();
	readonly #lookedAt = new Set<string>();
	readonly #notLookedAt = new Set<string>();

	/** `what`: what the file has. `dmesg`: what the kernel logs then. */
	add(kind: KindName, place: Place, what: string, dmesg?: string): void {
		const { weight, errno, advice, late }: Kind = KINDS[kind];
		const count = this.#counts.get(kind) ?? 0;
		if (count === MAX_OF_A_KIND) {
			this.notLookedAt(`${kind}: there are more; only the first ${MAX_OF_A_KIND} are listed`);
			return;
		}
		const key = JSON.stringify([kind, place, what]);
		if (this.#seen.has(key)) return;
		this.#seen.add(key);
		this.#counts.set(kind, count + 1);
		this.#all.push({
			...{ kind, weight, place, what: late ? what + laterText(place) : what },
			...(errno !== undefined && { errno }),
			...(dmesg !== undefined && { dmesg }),
			advice,
		});
	}

	lookedAt(what: string): void {
		this.#lookedAt.add(what);
	}

	notLookedAt(what: string): void {
		this.#notLookedAt.add(what);
	}

	/** The heaviest first; within a weight in the order of the table of kinds. */
	sorted(): Finding[] {
		const kinds = Object.keys(KINDS);
		const rank = ({ kind, weight }: Finding): number => WEIGHTS.indexOf(weight) * kinds.length + kinds.indexOf(kind);
		return [...this.#all].sort((a, b) => rank(a) - rank(b));
	}

	get looked(): { lookedAt: string[]; notLookedAt: string[] } {
		return { lookedAt: [...this.#lookedAt], notLookedAt: [...this.#notLookedAt] };
	}
}

/** klp_module_coming(): "patch 'lp' failed for module 'ext4', refusing to load module 'ext4'". */
function laterText({ object }: Place): string {
	if (object === undefined || object === "vmlinux") return "";
	return `; if ${object} is loaded after the livepatch, it is ${object} that is refused`;
}
