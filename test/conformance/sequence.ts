import { GS_BASE, RFLAGS, RIP, RSP } from "../../src/cpu/index.js";
import { type Case, CODE, DATA, PATTERN_BYTES } from "./case.js";
import { type Encoded, encode, formsOf, isLocked } from "./encode.js";
import { edgeOrRandom, rowName, TABLE } from "./generate.js";
import type { Random } from "./random.js";

/** Left out: what moves rsp or rip, needs set-up of its own, shows undefined flags, or that user programs may not do. */
const ROWS = TABLE.filter(
	({ branch, string, default64, semantic }) =>
		!branch &&
		!string &&
		!default64 &&
		!/^(lahf|cli|sti|stac|clac|cpuid|rdtscp?|rdpkru|int3|ud2|xlat|div|idiv|std|popf)$/.test(semantic),
);
/** add r11, r11: gives every flag a defined value. */
const DEFINE_FLAGS = Buffer.from("4d01db", "hex");

/** A number of instructions in a row that share registers and memory. */
export function sequence(random: Random, length: number): Case {
	const parts: Buffer[] = [];
	const rows: string[] = [];
	const state = new BigUint64Array(19).map(() => edgeOrRandom(random));
	state[RSP] = DATA + 0x1800n;
	state[RIP] = CODE;
	state[RFLAGS] = 0x202n;
	state[GS_BASE] = DATA + 0x800n;
	while (rows.length < length) {
		const encoded = instruction(random);
		if (encoded === undefined) continue;
		rows.push(rowName(encoded.row));
		// What addresses rip would need to know where it is in the whole.
		parts.push(Buffer.from(encoded.bytes));
		if (/[oszpc]/.test(encoded.row.undefined)) parts.push(DEFINE_FLAGS);
		for (const [register, value] of encoded.pointers) state[register] = value;
	}
	parts.push(DEFINE_FLAGS);
	const code = Uint8Array.from(Buffer.concat(parts));
	const pattern = new BigUint64Array(PATTERN_BYTES / 8).map(() => edgeOrRandom(random));
	return {
		name: Buffer.from(code).toString("hex"),
		rows,
		code,
		state,
		pattern: new Uint8Array(pattern.buffer),
		undefinedFlags: 0n,
		notOnHardware: false,
	};
}

function instruction(random: Random): Encoded | undefined {
	const row = random.pick(ROWS);
	const form = random.pick(formsOf(row));
	// High byte forms have other pointer registers, which other instructions overwrite.
	if (form.high && form.memory) return undefined;
	// Results that are undefined for some counts.
	if (/^sh[lr]d$/.test(row.semantic) && form.size === 16) return undefined;
	// On some processors a 32-bit one clears the destination's upper half when it finds a source of 0 (models.ts).
	if (/^bs[fr]$/.test(row.semantic) && form.size === 32) return undefined;
	const encoded = encode(row, form, random);
	// An access that is steady stays within a cache line.
	return isLocked(row, form) && (form.split || !encoded.steady) ? undefined : encoded;
}
