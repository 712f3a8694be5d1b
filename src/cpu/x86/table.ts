/**
 * The opcode table: every instruction that is emulated, once. The decoder, the disassembly, the translator and the
 * conformance cases all read it. An opcode that is not here is #UD.
 *
 * Sources: SDM volume 2 (opcode maps: appendix A; flags: volume 1, appendix A).
 */

/** The operation of an instruction; the translator has one function for each. */
export type Semantic =
	| "add"
	| "or"
	| "adc"
	| "sbb"
	| "and"
	| "sub"
	| "xor"
	| "cmp"
	| "test"
	| "inc"
	| "dec"
	| "neg"
	| "not"
	| "rol"
	| "ror"
	| "rcl"
	| "rcr"
	| "shl"
	| "shr"
	| "sar"
	| "shld"
	| "shrd"
	| "mul"
	| "imul1"
	| "imul"
	| "div"
	| "idiv"
	| "mov"
	| "movzx"
	| "movsx"
	| "lea"
	| "xchg"
	| "xadd"
	| "cmpxchg"
	| "cmpxchg8b"
	| "bswap"
	| "movbe"
	| "crc32"
	| "bt"
	| "bts"
	| "btr"
	| "btc"
	| "bsf"
	| "bsr"
	| "tzcnt"
	| "lzcnt"
	| "popcnt"
	| "cmov"
	| "setcc"
	| "jcc"
	| "jmp"
	| "jmp_indirect"
	| "call"
	| "call_indirect"
	| "ret"
	| "loop"
	| "loope"
	| "loopne"
	| "jrcxz"
	| "push"
	| "pop"
	| "pushf"
	| "popf"
	| "enter"
	| "leave"
	| "lahf"
	| "sahf"
	| "convert"
	| "spread"
	| "xlat"
	| "movs"
	| "cmps"
	| "stos"
	| "lods"
	| "scas"
	| "clc"
	| "stc"
	| "cmc"
	| "cld"
	| "std"
	| "cli"
	| "sti"
	| "nop"
	| "cpuid"
	| "stac"
	| "clac"
	| "rdtsc"
	| "rdtscp"
	| "rdpkru"
	| "int3"
	| "ud2";

/** One encoding of one instruction. */
export interface OpcodeRow {
	/**
	 * Opcode bytes in hex (without mandatory prefix and REX), then `/digit` for an opcode extension in modrm.reg, `/r` for
	 * a modrm with a register, `+r` for a register in the low bits of the last byte, or three hex bytes with the modrm
	 * spelled out (`0f ae e8`).
	 */
	readonly pattern: string;
	/** The mandatory prefix that selects this row. `undefined`: the row for any other prefix. */
	readonly prefix?: "66" | "f2" | "f3";
	readonly mnemonic: string;
	/**
	 * Operands, comma separated, in the letters of SDM appendix A: E (register or memory), G (register), M (memory only), R
	 * (register only), I (immediate), J (relative), O (offset), Z (register in the opcode), then the size: b w d q, v (16, 32
	 * or 64), y (32 or 64), z (immediate: 16 or 32, sign-extended), s (8, sign-extended), p (8 or 16 bytes: cmpxchg8b).
	 * Fixed registers by name: AL, AX (rAX of operand size), CL, DX; `1` is the constant.
	 */
	readonly operands: string;
	readonly width: Width;
	readonly semantic: Semantic;
	/** Flags it sets to a defined value, out of `oszapc` and `d`, `i`. */
	readonly writes: string;
	/** Flags that become undefined; for shifts and rotates: for some counts. */
	readonly undefined: string;
	/** Flags it reads. */
	readonly reads: string;
	/** A lock prefix is allowed if the first operand is memory. */
	readonly lock: boolean;
	/** Default operand size 64 (push, pop, near branches). */
	readonly default64: boolean;
	/** Condition code 0..15 of jcc, setcc, cmov. */
	readonly condition?: number;
	/** String instruction: rep prefixes apply. */
	readonly string: boolean;
	/** May change rip other than to the next instruction. */
	readonly branch: boolean;
}

interface Extra {
	prefix?: "66" | "f2" | "f3";
	semantic?: Semantic;
	/** `writes/undefined/reads`. */
	flags?: string;
	lock?: boolean;
	default64?: boolean;
	condition?: number;
	string?: boolean;
	branch?: boolean;
}

/**
 * The rule for the operand size. `byte`: 8; `branch`: 64, whatever the prefixes; `stack`: 64, or 16; `any`: 16, 32 or 64; `long`: 32
 * or 64; `pair`: half of the operand, 32 or 64.
 */
type Width = "byte" | "branch" | "stack" | "any" | "long" | "pair";

function widthOf(mnemonic: string, operands: string, { default64, branch, string }: Extra): Width {
	if (operands.startsWith("Mp")) return "pair";
	if (default64) return branch ? "branch" : "stack";
	if (string && mnemonic.endsWith("b")) return "byte";
	if (operands.startsWith("AL") || operands.includes("Ob,")) return "byte";
	const [kind = "", letter] = operands;
	if (letter === "b" && "EGZO".includes(kind)) return "byte";
	return letter === "y" && "GZM".includes(kind) && operands !== "Gy,Ev" ? "long" : "any";
}

const ROWS: OpcodeRow[] = [];

function row(pattern: string, mnemonic: string, operands: string, extra: Extra = {}): void {
	const [writes = "", undefinedFlags = "", reads = ""] = (extra.flags ?? "").split("/");
	ROWS.push({
		pattern,
		mnemonic,
		operands,
		width: widthOf(mnemonic, operands, extra),
		semantic: extra.semantic ?? (mnemonic as Semantic),
		writes,
		undefined: undefinedFlags,
		reads,
		lock: extra.lock ?? false,
		default64: extra.default64 ?? false,
		string: extra.string ?? false,
		branch: extra.branch ?? false,
		...(extra.prefix === undefined ? {} : { prefix: extra.prefix }),
		...(extra.condition === undefined ? {} : { condition: extra.condition }),
	});
}

const hex2 = (value: number): string => value.toString(16).padStart(2, "0");

/** Suffixes of jcc, setcc and cmov by condition code. */
export const CONDITIONS = [
	"o",
	"no",
	"b",
	"ae",
	"e",
	"ne",
	"be",
	"a",
	"s",
	"ns",
	"p",
	"np",
	"l",
	"ge",
	"le",
	"g",
] as const;

/** Flags that each pair of condition codes reads. */
const CONDITION_READS = ["o", "c", "z", "cz", "s", "p", "so", "szo"] as const;

/** The eight classic ALU operations, opcodes 00 to 3d and 80 to 83. */
function arithmetic(): void {
	const names = ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"] as const;
	for (const [index, name] of names.entries()) {
		const logic = name === "or" || name === "and" || name === "xor";
		const carry = name === "adc" || name === "sbb" ? "c" : "";
		const flags = logic ? "oszpc/a/" : `oszapc//${carry}`;
		const lock = name !== "cmp";
		const base = index * 8;
		row(`${hex2(base)} /r`, name, "Eb,Gb", { flags, lock });
		row(`${hex2(base + 1)} /r`, name, "Ev,Gv", { flags, lock });
		row(`${hex2(base + 2)} /r`, name, "Gb,Eb", { flags });
		row(`${hex2(base + 3)} /r`, name, "Gv,Ev", { flags });
		row(hex2(base + 4), name, "AL,Ib", { flags });
		row(hex2(base + 5), name, "AX,Iz", { flags });
		row(`80 /${index}`, name, "Eb,Ib", { flags, lock });
		row(`81 /${index}`, name, "Ev,Iz", { flags, lock });
		row(`83 /${index}`, name, "Ev,Is", { flags, lock });
	}
	row("84 /r", "test", "Eb,Gb", { flags: "oszpc/a/" });
	row("85 /r", "test", "Ev,Gv", { flags: "oszpc/a/" });
	row("a8", "test", "AL,Ib", { flags: "oszpc/a/" });
	row("a9", "test", "AX,Iz", { flags: "oszpc/a/" });
	for (const digit of [0, 1]) {
		row(`f6 /${digit}`, "test", "Eb,Ib", { flags: "oszpc/a/" });
		row(`f7 /${digit}`, "test", "Ev,Iz", { flags: "oszpc/a/" });
	}
	for (const [opcode, size] of [
		["fe", "b"],
		["ff", "v"],
	] as const) {
		row(`${opcode} /0`, "inc", `E${size}`, { flags: "oszap//", lock: true });
		row(`${opcode} /1`, "dec", `E${size}`, { flags: "oszap//", lock: true });
	}
	for (const [opcode, size] of [
		["f6", "b"],
		["f7", "v"],
	] as const) {
		row(`${opcode} /2`, "not", `E${size}`, { lock: true });
		row(`${opcode} /3`, "neg", `E${size}`, { flags: "oszapc//", lock: true });
		row(`${opcode} /4`, "mul", `E${size}`, { flags: "oc/szap/" });
		row(`${opcode} /5`, "imul", `E${size}`, { semantic: "imul1", flags: "oc/szap/" });
		row(`${opcode} /6`, "div", `E${size}`, { flags: "/oszapc/" });
		row(`${opcode} /7`, "idiv", `E${size}`, { flags: "/oszapc/" });
	}
	row("0f af /r", "imul", "Gv,Ev", { flags: "oc/szap/" });
	row("69 /r", "imul", "Gv,Ev,Iz", { flags: "oc/szap/" });
	row("6b /r", "imul", "Gv,Ev,Is", { flags: "oc/szap/" });
}

/** Opcodes c0, c1, d0 to d3; /6 is an alias of shl. */
function shifts(): void {
	const names = ["rol", "ror", "rcl", "rcr", "shl", "shr", "shl", "sar"] as const;
	for (const [digit, name] of names.entries()) {
		const flags = digit < 4 ? `oc/o/oszapc` : "oszpc/oac/oszapc";
		row(`c0 /${digit}`, name, "Eb,Ib", { flags });
		row(`c1 /${digit}`, name, "Ev,Ib", { flags });
		row(`d0 /${digit}`, name, "Eb,1", { flags });
		row(`d1 /${digit}`, name, "Ev,1", { flags });
		row(`d2 /${digit}`, name, "Eb,CL", { flags });
		row(`d3 /${digit}`, name, "Ev,CL", { flags });
	}
	for (const [opcode, name] of [
		[0xa4, "shld"],
		[0xac, "shrd"],
	] as const) {
		row(`0f ${hex2(opcode)} /r`, name, "Ev,Gv,Ib", { flags: "oszpc/oszapc/oszapc" });
		row(`0f ${hex2(opcode + 1)} /r`, name, "Ev,Gv,CL", { flags: "oszpc/oszapc/oszapc" });
	}
}

function moves(): void {
	row("88 /r", "mov", "Eb,Gb");
	row("89 /r", "mov", "Ev,Gv");
	row("8a /r", "mov", "Gb,Eb");
	row("8b /r", "mov", "Gv,Ev");
	row("c6 /0", "mov", "Eb,Ib");
	row("c7 /0", "mov", "Ev,Iz");
	row("b0 +r", "mov", "Zb,Ib");
	row("b8 +r", "mov", "Zv,Iv");
	row("a0", "mov", "AL,Ob");
	row("a1", "mov", "AX,Ov");
	row("a2", "mov", "Ob,AL");
	row("a3", "mov", "Ov,AX");
	row("8d /r", "lea", "Gv,M");
	row("63 /r", "movsxd", "Gv,Ed", { semantic: "movsx" });
	row("0f b6 /r", "movzx", "Gv,Eb");
	row("0f b7 /r", "movzx", "Gv,Ew");
	row("0f be /r", "movsx", "Gv,Eb");
	row("0f bf /r", "movsx", "Gv,Ew");
	row("86 /r", "xchg", "Eb,Gb", { lock: true });
	row("87 /r", "xchg", "Ev,Gv", { lock: true });
	row("90 +r", "xchg", "Zv,AX");
	row("0f c0 /r", "xadd", "Eb,Gb", { flags: "oszapc//", lock: true });
	row("0f c1 /r", "xadd", "Ev,Gv", { flags: "oszapc//", lock: true });
	row("0f b0 /r", "cmpxchg", "Eb,Gb", { flags: "oszapc//", lock: true });
	row("0f b1 /r", "cmpxchg", "Ev,Gv", { flags: "oszapc//", lock: true });
	row("0f c7 /1", "cmpxchg8b", "Mp", { flags: "z//", lock: true });
	row("0f c8 +r", "bswap", "Zy");
	row("0f 38 f0 /r", "movbe", "Gv,Mv");
	row("0f 38 f1 /r", "movbe", "Mv,Gv");
	// Non-temporal: for the caches only.
	row("0f c3 /r", "movnti", "My,Gy", { semantic: "mov" });
	row("98", "cbw", "", { semantic: "convert" });
	row("99", "cwd", "", { semantic: "spread" });
	row("d7", "xlat", "");
	row("9e", "sahf", "", { flags: "szapc//" });
	row("9f", "lahf", "", { flags: "//szapc" });
}

function bits(): void {
	const names = ["bt", "bts", "btr", "btc"] as const;
	for (const [index, name] of names.entries()) {
		const lock = name !== "bt";
		row(`0f ${hex2(0xa3 + 8 * index)} /r`, name, "Ev,Gv", { flags: "c/osap/", lock });
		row(`0f ba /${4 + index}`, name, "Ev,Ib", { flags: "c/osap/", lock });
	}
	row("0f bc /r", "bsf", "Gv,Ev", { flags: "z/osapc/" });
	row("0f bd /r", "bsr", "Gv,Ev", { flags: "z/osapc/" });
	row("0f bc /r", "tzcnt", "Gv,Ev", { prefix: "f3", flags: "zc/osap/" });
	row("0f bd /r", "lzcnt", "Gv,Ev", { prefix: "f3", flags: "zc/osap/" });
	row("0f b8 /r", "popcnt", "Gv,Ev", { prefix: "f3", flags: "oszapc//" });
	row("0f 38 f0 /r", "crc32", "Gy,Eb", { prefix: "f2" });
	row("0f 38 f1 /r", "crc32", "Gy,Ev", { prefix: "f2" });
}

function conditionals(): void {
	for (const [condition, suffix] of CONDITIONS.entries()) {
		const flags = `//${CONDITION_READS[condition >> 1]}`;
		row(hex2(0x70 + condition), `j${suffix}`, "Jb", { semantic: "jcc", flags, condition, branch: true });
		row(`0f ${hex2(0x80 + condition)}`, `j${suffix}`, "Jz", { semantic: "jcc", flags, condition, branch: true });
		row(`0f ${hex2(0x90 + condition)} /r`, `set${suffix}`, "Eb", { semantic: "setcc", flags, condition });
		row(`0f ${hex2(0x40 + condition)} /r`, `cmov${suffix}`, "Gv,Ev", { semantic: "cmov", flags, condition });
	}
}

function branches(): void {
	const near = { branch: true, default64: true };
	row("e8", "call", "Jz", near);
	row("e9", "jmp", "Jz", near);
	row("eb", "jmp", "Jb", near);
	row("ff /2", "call", "Eq", { ...near, semantic: "call_indirect" });
	row("ff /4", "jmp", "Eq", { ...near, semantic: "jmp_indirect" });
	row("c3", "ret", "", near);
	row("c2", "ret", "Iw", near);
	row("e0", "loopne", "Jb", { ...near, flags: "//z" });
	row("e1", "loope", "Jb", { ...near, flags: "//z" });
	row("e2", "loop", "Jb", near);
	row("e3", "jrcxz", "Jb", near);
}

function stack(): void {
	const wide = { default64: true };
	row("50 +r", "push", "Zv", wide);
	row("58 +r", "pop", "Zv", wide);
	row("68", "push", "Iz", wide);
	row("6a", "push", "Is", wide);
	row("ff /6", "push", "Ev", wide);
	row("8f /0", "pop", "Ev", wide);
	row("9c", "pushf", "", { ...wide, flags: "//oszapcdi" });
	row("9d", "popf", "", { ...wide, flags: "oszapcdi//" });
	row("c8", "enter", "Iw,Ib", wide);
	row("c9", "leave", "", wide);
}

function strings(): void {
	for (const [opcode, mnemonic, flags] of [
		[0xa4, "movs", "//d"],
		[0xa6, "cmps", "oszapc//d"],
		[0xaa, "stos", "//d"],
		[0xac, "lods", "//d"],
		[0xae, "scas", "oszapc//d"],
	] as const) {
		row(hex2(opcode), `${mnemonic}b`, "", { semantic: mnemonic, flags, string: true });
		row(hex2(opcode + 1), mnemonic, "", { semantic: mnemonic, flags, string: true });
	}
}

function system(): void {
	row("f5", "cmc", "", { flags: "c//c" });
	row("f8", "clc", "", { flags: "c//" });
	row("f9", "stc", "", { flags: "c//" });
	row("fa", "cli", "", { flags: "i//" });
	row("fb", "sti", "", { flags: "i//" });
	row("fc", "cld", "", { flags: "d//" });
	row("fd", "std", "", { flags: "d//" });
	row("90", "nop", "");
	row("90", "pause", "", { prefix: "f3", semantic: "nop" });
	row("0f 1e fa", "endbr64", "", { prefix: "f3", semantic: "nop" });
	row("0f 1e fb", "endbr32", "", { prefix: "f3", semantic: "nop" });
	row("0f 0d /r", "prefetchw", "Mb", { semantic: "nop" });
	for (let opcode = 0x18; opcode <= 0x1f; opcode++) row(`0f ${hex2(opcode)} /r`, "nop", "Ev", { semantic: "nop" });
	for (let low = 0; low < 8; low++) {
		row(`0f ae ${hex2(0xe8 + low)}`, "lfence", "", { semantic: "nop" });
		row(`0f ae ${hex2(0xf0 + low)}`, "mfence", "", { semantic: "nop" });
		row(`0f ae ${hex2(0xf8 + low)}`, "sfence", "", { semantic: "nop" });
	}
	row("0f a2", "cpuid", "");
	row("0f 31", "rdtsc", "");
	row("0f 01 f9", "rdtscp", "");
	row("0f 01 ca", "clac", "");
	row("0f 01 cb", "stac", "");
	row("0f 01 ee", "rdpkru", "");
	row("cc", "int3", "");
	row("0f 0b", "ud2", "");
	row("0f b9 /r", "ud1", "Gv,Ev", { semantic: "ud2" });
}

arithmetic();
shifts();
moves();
bits();
conditionals();
branches();
stack();
strings();
system();

/** All rows, in table order. */
export const OPCODES: readonly OpcodeRow[] = ROWS;
