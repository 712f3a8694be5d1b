import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { CpuState, RBP, RBX, RSP } from "../../../src/cpu/index.js";
import { type Image, linkImage, parseElf, type UnwindRow } from "../../../src/elf/index.js";
import {
	MAX_STACK_ENTRIES,
	type RowLookup,
	type StackTrace,
	stack_trace_save_tsk_reliable,
} from "../../../src/linux/sched/unwind.js";
import { type Kaddr, Memory, PERM, toU64 } from "../../../src/memory/index.js";

const LOW = -0x40000000;
const HIGH = LOW + 4096;
const TEXT = -0x7f000000;

const call = (cfaOffset: number, saved: UnwindRow["saved"] = []): UnwindRow => ({
	cfaRegister: RSP,
	cfaOffset,
	raOffset: -8,
	signal: false,
	saved,
});
const END: UnwindRow = { ...call(0), raOffset: undefined };

let memory: Memory;
let regs: CpuState;

beforeEach(() => {
	memory = new Memory({ bytes: 1 << 20 });
	memory.map("stack", LOW, HIGH - LOW, PERM.READ | PERM.WRITE);
	regs = new CpuState();
});

/** Walks from `ip` with rsp at `HIGH - depth`; rows by offset from TEXT, as they are looked up. */
function walk(ip: number, depth: number, rows: Record<number, UnwindRow>): StackTrace {
	regs.rip = toU64(TEXT + ip);
	regs.setKaddr(RSP, HIGH - depth);
	return lookup((at) => rows[at - TEXT]);
}
const lookup = (findRow: RowLookup) =>
	stack_trace_save_tsk_reliable(regs, { memory, low: LOW, high: HIGH, findRow, recover: (ret) => ret });
const push = (depth: number, value: Kaddr) => memory.setKaddr(HIGH - depth, value);
const reason = (trace: StackTrace) => (trace.reliable ? "reliable" : trace.reason);

describe("stack_trace_save_tsk_reliable", () => {
	it("walks to the end marker, looking up the byte before each return address", () => {
		push(8, TEXT + 300);
		push(32, TEXT + 200);
		const trace = walk(100, 32, { 100: call(8), 199: call(24), 299: END });
		expect(trace).toMatchObject({ reliable: true, entries: [TEXT + 100, TEXT + 200, TEXT + 300] });
	});

	it("looks up the return address itself behind a frame that says so", () => {
		push(8, TEXT + 200);
		expect(walk(100, 8, { 100: { ...call(8), signal: true }, 200: END }).reliable).toBe(true);
		expect(reason(walk(100, 8, { 100: call(8), 200: END }))).toMatch(/no unwind information for 0xffffffff810000c8/);
	});

	it("follows a frame pointer that an inner frame has saved", () => {
		regs.setKaddr(RBP, 1);
		regs.setKaddr(RBX, 2);
		push(8, TEXT + 300);
		push(24, TEXT + 200); // the return address of the inner frame
		push(32, HIGH - 16); // the outer frame's rbp
		const trace = walk(100, 32, {
			100: call(16, [{ register: RBP, offset: -16 }]),
			199: { ...call(16), cfaRegister: RBP },
			299: END,
		});
		expect(trace).toMatchObject({ reliable: true, entries: [TEXT + 100, TEXT + 200, TEXT + 300] });
	});

	it("is an end of its own for a task that has just begun", () => {
		expect(walk(0, 0, { 0: END })).toMatchObject({ reliable: true, entries: [TEXT] });
	});

	it("does not believe a stack with unknown code on it", () => {
		push(8, TEXT + 200);
		const trace = walk(100, 8, { 100: call(8) });
		expect(reason(trace)).toBe("no unwind information for 0xffffffff810000c8");
		expect(trace.entries).toEqual([TEXT + 100, TEXT + 200]);
	});

	it("does not believe a return address outside the kernel", () => {
		memory.setU64(HIGH - 8, 0x400000n);
		expect(reason(walk(100, 8, { 100: call(8) }))).toBe("return address 0x0000000000400000 is not in the kernel");
	});

	it.each([
		["rsp above the stack", -8, call(8), /rsp 0x[0-9a-f]+ is not on the stack/],
		["rsp below the stack", 8192, call(8), /rsp 0x[0-9a-f]+ is not on the stack/],
		["a frame beyond the stack", 8, call(16), /frame at 0x[0-9a-f]+ is not on the stack/],
		["a misaligned frame", 16, call(12), /misaligned/],
		["a frame that does not progress", 16, call(0), /does not lie above rsp/],
		["a frame that goes down", 16, call(-8), /does not lie above rsp|not on the stack/],
		["a return address above its frame", 16, { ...call(8), raOffset: 0 }, /outside its frame/],
		["a register below the frame", 16, call(8, [{ register: RBX, offset: -64 }]), /saved register is outside/],
	])("does not believe %s", (_what, depth, row, message) => {
		push(16, TEXT + 100);
		push(8, TEXT + 100);
		expect(reason(walk(100, depth, { 100: row as UnwindRow, 99: row as UnwindRow }))).toMatch(message);
	});

	it("does not believe a stack that fills the store of the kernel", () => {
		const rows = { 100: call(8), 199: call(8), 299: END };
		const deep = (frames: number) => {
			for (let depth = 16; depth <= 8 * frames; depth += 8) push(depth, TEXT + 200);
			push(8, TEXT + 300);
			return walk(100, 8 * frames, rows);
		};
		expect(deep(MAX_STACK_ENTRIES - 2)).toMatchObject({ reliable: true });
		expect(deep(MAX_STACK_ENTRIES - 2).entries).toHaveLength(MAX_STACK_ENTRIES - 1);
		// stack_trace_consume_entry() returns false for the entry that fills the store.
		expect(reason(deep(MAX_STACK_ENTRIES - 1))).toBe("100 entries or more");
	});
});

describe("frames that ORC describes", () => {
	const RDX = 2;
	const R10 = 10;
	/** pt_regs at `HIGH - depth`, of code that was interrupted at `ip` with rsp at `HIGH - rsp`; a frame of 168 bytes. */
	const interrupt = (depth: number, ip: number, rsp: number, cs = 0x10) => {
		const at = HIGH - depth;
		memory.setKaddr(at + 32, HIGH - 8); // bp
		memory.setKaddr(at + 56, HIGH - 16); // r10
		memory.setKaddr(at + 128, TEXT + ip);
		memory.setU64(at + 136, BigInt(cs));
		memory.setKaddr(at + 152, HIGH - rsp);
	};
	const saved = [
		{ register: RBP, offset: 32 - 168 },
		{ register: R10, offset: 56 - 168 },
		{ register: RSP, offset: 152 - 168 },
	];
	const PT_REGS: UnwindRow = { ...call(168, saved), raOffset: -40, csOffset: -32, signal: true };
	const ORC_CALL: UnwindRow = { ...call(8), preserves: (1 << RSP) | (1 << RBP) };

	it("[rule 10.3] goes on at the interrupted instruction, with the registers of pt_regs", () => {
		interrupt(232, 200, 64);
		push(56, TEXT + 300);
		const rows = { 100: PT_REGS, 200: { ...call(0), cfaRegister: R10, cfaOffset: -32 }, 299: END };
		const trace = walk(100, 232, rows);
		expect(trace).toMatchObject({ reliable: true, entries: [TEXT + 100, TEXT + 200, TEXT + 300] });
		expect(trace.rsp).toEqual([HIGH - 232, HIGH - 64, HIGH - 48]);
	});

	it("[rule 10.3] ends reliably behind the registers of user code, whose address is no entry", () => {
		interrupt(168, 0, 0, 0x33);
		memory.setU64(HIGH - 40, 0x400000n);
		expect(walk(100, 168, { 100: PT_REGS })).toMatchObject({ reliable: true, entries: [TEXT + 100] });
	});

	it("[rule 10.4] keeps what is known behind an iret frame, and not behind a call", () => {
		const partial: UnwindRow = {
			...{ ...call(40, [{ register: RSP, offset: -16 }]), raOffset: -40, csOffset: -32, signal: true },
			preserves: 0xffff,
		};
		const fromR10 = { ...ORC_CALL, cfaRegister: R10, cfaOffset: 0 };
		regs.setKaddr(R10, HIGH - 8);
		push(64, TEXT + 200); // iret frame: ip, cs, flags, sp, ss
		memory.setU64(HIGH - 56, 0x10n);
		push(40, HIGH - 24);
		push(16, TEXT + 300);
		expect(walk(100, 64, { 100: partial, 200: fromR10, 299: END }).reliable).toBe(true);
		push(24, TEXT + 200);
		const behindCall = walk(100, 24, { 100: ORC_CALL, 199: fromR10 });
		expect(reason(behindCall)).toBe("register 10, which the frame needs, is not known, at 0xffffffff810000c8");
		expect(reason(walk(100, 24, { 100: call(8), 199: fromR10 }))).toMatch(/register 10, .* is not known/);
	});

	it("[rule 10.4] knows rsp and rbp alone behind a call, but a register that .eh_frame has saved too", () => {
		regs.setKaddr(RBX, HIGH);
		const fromRbx = { ...call(0), cfaRegister: RBX };
		push(16, TEXT + 200);
		push(8, TEXT + 300);
		expect(walk(100, 16, { 100: call(8), 199: fromRbx, 299: END }).reliable).toBe(true);
		expect(reason(walk(100, 16, { 100: ORC_CALL, 199: fromRbx }))).toMatch(/register 3, .* is not known/);
	});

	it("reads the frame's address where a function that realigns its stack keeps it", () => {
		regs.setKaddr(RBP, HIGH - 40);
		push(48, HIGH - 8); // at bp - 8
		push(40, HIGH); // the caller's bp, at bp
		push(16, TEXT + 200);
		push(8, TEXT + 300);
		const realigned: UnwindRow = {
			...{ ...ORC_CALL, cfaRegister: RBP, cfaOffset: -8, cfaLoad: 0 },
			saved: [{ register: RBP, offset: 0, base: RBP }],
		};
		const rows = { 100: realigned, 199: { ...ORC_CALL, cfaRegister: RBP, cfaOffset: 0 }, 299: END };
		expect(walk(100, 48, rows)).toMatchObject({ reliable: true, rsp: [HIGH - 48, HIGH - 8, HIGH] });
		regs.setKaddr(RBP, HIGH + 8);
		expect(reason(walk(100, 48, rows))).toMatch(/the frame's address, at 0x[0-9a-f]+, is not on the stack/);
	});

	it.each([
		["registers that end above the stack", 160, {}, /frame at 0x[0-9a-f]+ is not on the stack/],
		["an interrupted rsp that goes down", 232, { 80: 240 }, /the caller's rsp 0x[0-9a-f]+ does not lie above/],
		["an interrupted rsp that stays", 232, { 80: 232 }, /the caller's rsp 0x[0-9a-f]+ does not lie above/],
		["an interrupted rsp on no stack", 232, { 80: -64 }, /the caller's rsp 0x[0-9a-f]+ is not on the stack/],
	])("does not believe %s", (_what, depth, words, message) => {
		interrupt(232, 200, 64);
		for (const [at, value] of Object.entries(words)) push(Number(at), HIGH - value);
		expect(reason(walk(100, depth, { 100: PT_REGS, 200: END }))).toMatch(message);
	});

	it("does not believe a base that is no address of the stack", () => {
		regs.words[RDX] = 0x8000000000n;
		const row = { ...ORC_CALL, saved: [{ register: RBP, offset: 0, base: RDX }] };
		push(8, TEXT + 200);
		expect(reason(walk(100, 8, { 100: row }))).toMatch(/saved register is outside its frame/);
	});
});

describe("with the rows of compiled code", () => {
	const bytes = readFileSync(new URL("../../../asm/prebuilt/vmlinux/funcs.o", import.meta.url));
	let image: Image;

	beforeEach(() => {
		const objects = [parseElf(bytes, "funcs.o")];
		image = linkImage({ name: "vmlinux", objects, base: TEXT, memory, resolve: () => TEXT });
	});

	it("weigh, called by funcA, called by the entry code", () => {
		const funcA = image.symbol("funcA")!;
		const weigh = image.symbol("weigh")!;
		const text = parseElf(bytes, "funcs.o").sections.find(({ name }) => name === ".text")!;
		const inText = funcA.address - TEXT;
		const place = text.relocations.find(({ symbol, offset }) => symbol.name === "weigh" && offset > inText)!.offset;
		const site = place - 1 - inText;
		expect((funcA.address + site + 5 + memory.i32(funcA.address + site + 1)) | 0).toBe(weigh.address);
		// funcA has pushed rbx below its return address; weigh has just been entered.
		const entryCode = LOW + 4; // any address that has a row of its own
		push(8, entryCode);
		push(16, 0x1234);
		push(24, funcA.address + site + 5);
		regs.rip = toU64(weigh.address);
		regs.setKaddr(RSP, HIGH - 24);
		const trace = lookup((ip) => (ip === entryCode - 1 ? END : image.findRow(ip)));
		expect(trace).toMatchObject({ reliable: true, entries: [weigh.address, funcA.address + site + 5, entryCode] });
	});

	it("every instruction of every function has a row", () => {
		for (const { name, type, address, size } of image.symbols) {
			if (type !== "func") continue;
			expect(size, name).toBeGreaterThan(0);
			for (let at = address; at < address + size; at++) expect(image.findRow(at), name).toBeDefined();
			expect(image.findRow(address)).toEqual(call(8));
		}
	});
});
