import { declareState, KlpemuError } from "../../base/index.js";
import type { Cpu } from "../../cpu/index.js";
import { hex, type Kaddr } from "../../memory/index.js";
import type { dyn_ftrace } from "./ops.js";
import { ftrace_call_replace, MCOUNT_INSN_SIZE, NOP5, sameBytes, type TextPoke } from "./text-poke.js";

/** All fentry sites (the ftrace_pages of kernel/trace/ftrace.c). */
export class Records {
	/** Flags that are never cleared are only shown. */
	static readonly state = declareState("Records", {
		fields: ["byIp", "released"],
		unkeyed: ["noclearFlags"],
		dropCaches: (records: Records) => records.#sort(),
	});

	readonly #cpu: Cpu;
	readonly #text_poke: TextPoke;
	/** Site -> direct function, see DirectFunctions. */
	readonly direct_functions = new Map<Kaddr, Kaddr>();
	readonly byIp = new Map<Kaddr, dyn_ftrace>();
	/** Call sites without a record whose text is still there: a task may execute them. */
	readonly released = new Set<Kaddr>();
	/** The same records in ascending order of address, as do_for_each_ftrace_rec() visits them. */
	sorted: readonly dyn_ftrace[] = [];
	/** FTRACE_NOCLEAR_FLAGS of the records that have any: TOUCHED, MODIFIED. */
	private readonly noclearFlags = new Map<Kaddr, number>();

	constructor(cpu: Cpu, text_poke: TextPoke) {
		this.#cpu = cpu;
		this.#text_poke = text_poke;
	}

	/** The records at these addresses, in ascending order; addresses of removed sites are skipped. */
	at(ips: readonly Kaddr[]): dyn_ftrace[] {
		return [...new Set(ips)].sort((a, b) => a - b).flatMap((ip) => this.byIp.get(ip) ?? []);
	}

	/** Replaces call sites by nops and adds their records, with these `flags`. Throws `FTRACE_BAD_SITE`. */
	add(owner: string, sites: readonly Kaddr[], fentry: Kaddr, flags: number): void {
		for (const ip of sites) {
			const found = this.#cpu.memory.read(ip, MCOUNT_INSN_SIZE);
			if (!sameBytes(found, ftrace_call_replace(ip, fentry)) && !sameBytes(found, NOP5)) {
				const bytes = [...found].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
				throw new KlpemuError("FTRACE_BAD_SITE", `'${owner}' has no fentry call at ${hex(ip)} but ${bytes}`, {
					hint: "compile with -pg -mfentry -mrecord-mcount, or -fpatchable-function-entry=5",
				});
			}
			this.#text_poke.text_poke_early(ip, NOP5);
			this.byIp.set(ip, { ip, flags, count: 0, current: 0 });
			this.#cpu.addCallSite(ip);
		}
		this.#sort();
	}

	/** The flags of a record that stay set after the last ops is detached. */
	noclear({ ip }: dyn_ftrace): number {
		return this.noclearFlags.get(ip) ?? 0;
	}
	setNoclear(rec: dyn_ftrace, flags: number): void {
		this.noclearFlags.set(rec.ip, this.noclear(rec) | flags);
	}

	/** Removes the records of a module that goes: nobody changes its call sites any more. */
	release(sites: readonly Kaddr[]): void {
		for (const ip of sites) {
			this.noclearFlags.delete(ip);
			if (!this.byIp.delete(ip)) continue;
			this.released.add(ip);
			this.#cpu.removeCallSite(ip);
		}
		this.#sort();
	}

	/** The text of these sites is no longer there. */
	forget(sites: readonly Kaddr[]): void {
		this.release(sites);
		for (const ip of sites) this.released.delete(ip);
	}

	#sort(): void {
		this.sorted = [...this.byIp.values()].sort((a, b) => a.ip - b.ip);
	}

	/** The first site in [start, end); 0 if there is none. */
	firstIn(start: Kaddr, end: Kaddr): Kaddr {
		const { sorted } = this;
		let low = 0;
		let high = sorted.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (sorted[middle]!.ip < start) low = middle + 1;
			else high = middle;
		}
		const ip = sorted[low]?.ip;
		return ip !== undefined && ip < end ? ip : 0;
	}
}
