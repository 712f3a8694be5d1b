import type { Machine } from "../../machine/index.js";
import { type Kaddr, toKaddr } from "../../memory/index.js";
import { describeKlp, describeStacks } from "./monitor.js";
import { type ThreadState, threadOf, threadsOf } from "./threads.js";

/** Why the machine has stopped at a position, in the words of a stop reply. */
export interface Reason {
	/** `watch`, `rwatch`, `awatch` and the address; `replaylog` and `begin` or `end`. */
	readonly key: string;
	readonly value: string;
}

/** A machine at a position: all that a debugger can ask for. */
export interface Capture {
	readonly position: number;
	/** The thread that executes. */
	readonly thread: number;
	readonly threads: readonly ThreadState[];
	readonly reason: Reason | undefined;
	/** Text of `monitor klp`, `monitor bt` and `monitor dmesg`. */
	readonly klp: string;
	readonly stacks: string;
	readonly dmesg: string;
	/** All of the guest's memory. */
	readonly regions: readonly { readonly start: Kaddr; readonly bytes: Uint8Array }[];
	/** `length` bytes at a guest address, or the first of them that are mapped. */
	read(address: bigint, length: number): Uint8Array;
}

/** Copies what a debugger can ask for: the machine may go on, or away. `executing`: see {@link threadsOf}. */
export function capture(machine: Machine, position: number, executing: boolean, reason?: Reason): Capture {
	const { memory, sched, dmesg } = machine;
	const regions = memory.regions.map(({ address, length, offset }) => ({
		start: toKaddr(address),
		bytes: memory.bytes.slice(offset, offset + length),
	}));
	return {
		position,
		thread: threadOf(sched.current),
		threads: threadsOf(machine, executing),
		reason,
		klp: describeKlp(machine),
		stacks: describeStacks(machine),
		dmesg: dmesg
			.lines()
			.map((line) => `${line}\n`)
			.join(""),
		regions,
		read(address, length) {
			if (address >> 31n !== 0x1_ffff_ffffn) return new Uint8Array(0);
			const at = toKaddr(address);
			const parts: Uint8Array[] = [];
			let got = 0;
			while (got < length) {
				const from = at + got;
				const region = regions.find(({ start, bytes }) => from >= start && from < start + bytes.length);
				if (region === undefined || from >= 0) break;
				const part = region.bytes.subarray(from - region.start, from - region.start + length - got);
				parts.push(part);
				got += part.length;
			}
			const all = new Uint8Array(got);
			let offset = 0;
			for (const part of parts) {
				all.set(part, offset);
				offset += part.length;
			}
			return all;
		},
	};
}
