import { Decoder, DecoderOptions, Instruction as Iced } from "iced-x86";
import { describe, expect, it, test } from "vitest";
import { decodeBytes, format, type NotDecoded } from "../../../src/cpu/x86/index.js";

/** xorshift32: the same byte strings in each run. */
function generator(seed: number): () => number {
	let x = seed;
	return () => {
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		return x >>> 0;
	};
}

const LEGACY = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x65, 0x3e];

function randomBytes(next: () => number): Uint8Array {
	const bytes = new Uint8Array(20).map(() => next() & 0xff);
	let at = 0;
	while (next() % 3 === 0 && at < 3) bytes[at++] = LEGACY[next() % LEGACY.length]!;
	if (next() % 2 === 0) bytes[at++] = 0x40 | (next() & 15);
	if (next() % 3 === 0) bytes[at] = 0x0f;
	return bytes;
}

describe("decoder", () => {
	it("agrees with iced-x86 on the length of what it accepts", () => {
		const next = generator(1);
		let accepted = 0;
		const wrong: string[] = [];
		const iced = new Iced();
		for (let i = 0; i < 30000; i++) {
			const bytes = randomBytes(next);
			const ours = decodeBytes(bytes, 0n);
			if ("error" in ours) continue;
			accepted++;
			const decoder = new Decoder(64, bytes.subarray(0, 15), DecoderOptions.None);
			decoder.decodeOut(iced);
			if (iced.isInvalid || iced.length !== ours.length) {
				const text = [...bytes.subarray(0, 15)].map((b) => b.toString(16).padStart(2, "0")).join(" ");
				wrong.push(`${text}: ours ${format(ours)} (${ours.length}), iced ${iced.toString()} (${iced.length})`);
			}
			decoder.free();
		}
		iced.free();
		expect(wrong.slice(0, 10)).toEqual([]);
		expect(accepted).toBeGreaterThan(15000);
	});

	it.each([
		["f3 0f 1e fa", "endbr64", 4],
		["0f 1f 44 00 00", "nop dword [rax+rax*1]", 5],
		["48 89 e5", "mov rbp, rsp", 3],
		["e8 00 00 00 00", "call 0x1005", 5],
		["41 90", "xchg r8d, eax", 2],
		["88 e0", "mov al, ah", 2],
		["40 88 e0", "mov al, spl", 3],
		["48 8b 05 10 00 00 00", "mov rax, qword [0x1017]", 7],
		["65 48 8b 04 25 28 00 00 00", "mov rax, qword gs:[0x28]", 9],
		["f0 48 0f c7 0f", "lock cmpxchg8b xmmword [rdi]", 5],
		["66 f2 0f 38 f1 c3", "crc32 eax, bx", 6],
		["f3 48 ab", "rep stosq", 3],
	])("%s is %s", (hex, text, length) => {
		const ours = decodeBytes(Uint8Array.from(hex.split(" ").map((b) => Number.parseInt(b, 16))), 0x1000n);
		if ("error" in ours) throw new Error(ours.detail);
		expect([format(ours), ours.length]).toEqual([text, length]);
	});

	it.each([
		["f0 89 c0", "invalid-opcode"],
		["f0 3b 07", "invalid-opcode"],
		["0f 05", "invalid-opcode"],
		["8d c0", "invalid-opcode"],
		["66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", "general-protection"],
		["48", "fetch"],
	])("%s is refused: %s", (hex, error) => {
		expect(decodeBytes(Uint8Array.from(hex.split(" ").map((b) => Number.parseInt(b, 16))))).toMatchObject({ error });
	});
});

describe("an instruction that is not emulated is named", () => {
	const refused = (hex: string) => decodeBytes(Uint8Array.from(Buffer.from(hex, "hex"))) as NotDecoded;

	test.each([
		["0f30", "wrmsr"],
		["0f32", "rdmsr"],
		["e421", "in"],
		["ee", "out"],
		["66ef", "out"],
		["8ed8", "mov to a segment register"],
		["0f01f8", "swapgs"],
		["f4", "hlt"],
		["0f011424", "lgdt"],
		["0f013b", "invlpg"],
		["0f22d8", "mov to a control register"],
		["48cf", "iret"],
		["0f09", "wbinvd"],
		["66410f3882", "invpcid"],
	])("%s: %s is privileged, #GP", (hex, name) => {
		expect(refused(hex).error).toBe("general-protection");
		expect(refused(hex).detail).toMatch(new RegExp(`: ${name}: a privileged instruction, not emulated$`));
	});

	test.each([
		["8ce8", "mov from a segment register"],
		["480fc7f0", "rdrand"],
		["f3480faec0", "rdfsbase"],
		["660faef1", "tpause"],
		["0f01fa", "monitorx"],
		["480fae27", "xsave"],
		["0f2801", "an SSE or MMX instruction"],
		["dbe3", "an x87 instruction"],
		["ff68", "ljmp"],
		["660f3a0f", "an SSE or MMX instruction"],
		["c4e283f7c9", "an AVX or BMI instruction"],
	])("%s: %s is #UD", (hex, name) => {
		expect(refused(hex).error).toBe("invalid-opcode");
		expect(refused(hex).detail).toMatch(new RegExp(`: ${name}.*: not emulated$`));
	});

	test("with opcodes that the table has in other forms", () => {
		expect(refused("0fff").detail).toMatch(/no such opcode/);
		expect("row" in refused("0f01ca")).toBe(true);
	});
});
