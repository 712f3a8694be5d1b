/** The second tier against the first, which the conformance tests hold to the hardware: equal at every stop. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { RBP, RCX, RDI, RFLAGS, RIP, RSP, STATE_WORDS } from "../../../src/cpu/index.js";
import { JitCpu } from "../../../src/cpu/jit/index.js";
import { Memory, PERM, toU64 } from "../../../src/memory/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { parseScenario, runScenario } from "../../../src/scenario/index.js";
import { DATA_SIZE, DATA as OTHER_DATA } from "../../conformance/case.js";
import { edgeOrRandom } from "../../conformance/generate.js";
import { ProgramWriter } from "../../conformance/programs.js";
import { Random } from "../../conformance/random.js";
import { sequence } from "../../conformance/sequence.js";
import { sample } from "../../support/sample.js";

const CODE = -0x7f000000;
const DATA = -0x7e000000;
/** Saved registers, then the loop's counter; behind the data that instructions reach. */
const REGISTERS = DATA + DATA_SIZE;
const COUNTER = REGISTERS + 0x100;
const SEQUENCES = Number(process.env.KLPEMU_SEQUENCES ?? 25);
const PROGRAMS = Number(process.env.KLPEMU_PROGRAMS ?? 3);

const heat = (warm: number, cold = 0) => ({ cold, warm, recording: 200 });

function machine(warm: number, cold = 0): JitCpu {
	const memory = new Memory({ bytes: 1 << 20 });
	memory.map("code", CODE, 0x10000, PERM.READ | PERM.EXEC);
	memory.map("data", DATA, DATA_SIZE + 0x1000, PERM.READ | PERM.WRITE);
	return new JitCpu(memory, { heat: heat(warm, cold) });
}

/** All state that a program can see. */
function look(cpu: JitCpu): unknown {
	const words = [...cpu.state.words].map((word) => word.toString(16)).join(" ");
	const data = createHash("sha256")
		.update(cpu.memory.read(DATA, DATA_SIZE + 0x1000))
		.digest("hex");
	return [words, data];
}

/** Runs the same code on all tiers, and from one to the next, in slices of random length, and compares them after each. */
function compare(code: Uint8Array, state: BigUint64Array, data: Uint8Array, random: Random, most: number): number {
	const never = Number.POSITIVE_INFINITY;
	const cpus = [machine(never), machine(300), machine(never, never), machine(300, 3)];
	for (const cpu of cpus) {
		cpu.memory.write(CODE, code);
		cpu.memory.write(DATA, data);
		cpu.textChanged(CODE, code.length);
		cpu.state.words.set(state);
	}
	for (let executed = 0; executed < most; ) {
		const slice = 1 + random.below(random.pick([30, 1000, 10_000]));
		const stops = cpus.map((cpu) => cpu.run(slice));
		for (const n of [1, 2, 3]) {
			expect(stops[n]).toEqual(stops[0]);
			expect(look(cpus[n]!)).toEqual(look(cpus[0]!));
		}
		executed += stops[0]!.executed;
		if (stops[0]!.kind !== "budget") break;
	}
	return cpus[1]!.statistics.hot;
}

/** `mov reg, [address]` or, with opcode 0x89, `mov [address], reg`; REX.W, absolute. */
function move(opcode: number, register: number, address: number): number[] {
	const bytes = [0x48 | ((register >> 3) << 2), opcode, 0x04 | ((register & 7) << 3), 0x25, 0, 0, 0, 0];
	for (let i = 0; i < 4; i++) bytes[4 + i] = (address >> (8 * i)) & 0xff;
	return bytes;
}

/** A loop: registers from memory, some of them changed by the counter, the instructions, and again. */
function looped(body: Uint8Array, state: BigUint64Array, times: number): { code: Uint8Array; data: Uint8Array } {
	const head: number[] = [];
	for (let register = 0; register < 16; register++) head.push(...move(0x8b, register, REGISTERS + 8 * register));
	// xor rax, [counter]; ror rdx, cl
	head.push(...move(0x33, 0, COUNTER), 0x48, 0xd3, 0xca);
	const counter = move(0, 0, COUNTER).slice(4);
	// sub qword [counter], 1; jnz start
	const tail = [0x48, 0x83, 0x2c, 0x25, ...counter, 1, 0x0f, 0x85];
	const length = head.length + body.length + tail.length + 4;
	const back = new Uint8Array(Int32Array.of(-length).buffer);
	const data = new Uint8Array(DATA_SIZE + 0x1000);
	const words = new BigUint64Array(data.buffer, REGISTERS - DATA, 17);
	words.set(state.subarray(0, 16));
	words[(COUNTER - REGISTERS) / 8] = 0n;
	new DataView(data.buffer).setBigUint64(COUNTER - DATA, BigInt(times), true);
	return { code: Uint8Array.from([...head, ...body, ...tail, ...back, 0xcc]), data };
}

describe("the two tiers of the jit", () => {
	test("random instruction sequences in a loop", () => {
		const random = new Random(23);
		let hot = 0;
		for (let n = 0; n < SEQUENCES; n++) {
			const given = sequence(random, 2 + random.below(14));
			// The same, but in the kernel's window.
			const state = given.state.map((word) =>
				word >= OTHER_DATA && word < OTHER_DATA + BigInt(DATA_SIZE) ? toU64(DATA + Number(word - OTHER_DATA)) : word,
			);
			const { code, data } = looped(given.code, state, 400);
			for (let at = 0; at < DATA_SIZE; at += given.pattern.length) data.set(given.pattern, at);
			const start = new BigUint64Array(STATE_WORDS);
			start.set([toU64(CODE), 0x202n, toU64(DATA + 0x800)], RIP);
			start[RSP] = toU64(DATA + 0x1800);
			try {
				hot += compare(code, start, data, random, 1_000_000);
			} catch (error) {
				throw new Error(`sequence ${n}: ${given.name}`, { cause: error });
			}
		}
		expect(hot).toBeGreaterThan(SEQUENCES / 4);
	});

	test("a loop in a function that returns to two places, and what these push", () => {
		// start: call f; push rax; pop rbx; call f; push rcx; pop rbp; dec rdx; jnz start; int3
		// f: mov ecx, 9; 1: add rax, rcx; dec rcx; jnz 1b; ret
		const code = [
			...[0xe8, 0x0f, 0, 0, 0, 0x50, 0x5b, 0xe8, 0x08, 0, 0, 0, 0x51, 0x5d, 0x48, 0xff, 0xca, 0x75, 0xed, 0xcc],
			...[0xb9, 9, 0, 0, 0, 0x48, 0x01, 0xc8, 0x48, 0xff, 0xc9, 0x75, 0xf8, 0xc3],
		];
		const state = new BigUint64Array(STATE_WORDS);
		state.set([toU64(CODE), 0x202n], RIP);
		state[RSP] = toU64(DATA + 0x1800);
		state[2] = 2000n;
		const hot = compare(Uint8Array.from(code), state, new Uint8Array(DATA_SIZE), new Random(3), 100_000);
		expect(hot).toBeGreaterThan(0);
	});

	test("a loop that ends where the memory ends, and one that runs over the end", () => {
		// start: mov rcx, rsi; 1: mov al, [rcx]; inc byte [rcx]; add rcx, 1; cmp rcx, rdi; jne 1b; dec rdx; jnz start; int3
		const code = [
			...[0x48, 0x89, 0xf1, 0x8a, 0x01, 0xfe, 0x01, 0x48, 0x83, 0xc1, 0x01, 0x48, 0x39, 0xf9, 0x75, 0xf3],
			...[0x48, 0xff, 0xca, 0x75, 0xeb, 0xcc],
		];
		const state = new BigUint64Array(STATE_WORDS);
		state.set([toU64(CODE), 0x202n], RIP);
		state[RSP] = toU64(DATA + 0x1800);
		state[2] = 3000n;
		const end = DATA + DATA_SIZE + 0x1000;
		for (const [from, to] of [
			[end - 7, end],
			[DATA + 0xff9, DATA + 0x1005],
			[DATA, end + 9],
		] as const) {
			state[6] = toU64(from);
			state[RDI] = toU64(to);
			const hot = compare(Uint8Array.from(code), state, new Uint8Array(DATA_SIZE), new Random(5), 200_000);
			expect(hot).toBeGreaterThan(0);
		}
	});

	test("a call site in a hot loop that is poked, and a gate that stops at times", () => {
		// start: call f; inc rbx; jmp start.  f: site; inc rax; ret.  0x40: call 0x80; ret.  0x60: add rdx, 2; ret.  0x80: gate
		const parts: [number, number[]][] = [
			[0, [0xe8, 0x1b, 0, 0, 0, 0x48, 0xff, 0xc3, 0xeb, 0xf6]],
			[0x20, [0x0f, 0x1f, 0x44, 0, 0, 0x48, 0xff, 0xc0, 0xc3]],
			[0x40, [0xe8, 0x3b, 0, 0, 0, 0xc3]],
			[0x60, [0x48, 0x83, 0xc2, 0x02, 0xc3]],
			[0x80, [0x90, 0xc3]],
		];
		const NOP = [0x0f, 0x1f, 0x44, 0, 0];
		const FIRST = [0xe8, 0x1b, 0, 0, 0];
		const SECOND = [0xe8, 0x3b, 0, 0, 0];
		const cpus = [machine(Number.POSITIVE_INFINITY), machine(300)];
		for (const cpu of cpus) {
			for (const [at, bytes] of parts) cpu.memory.write(CODE + at, Uint8Array.from(bytes));
			let calls = 0;
			cpu.addGate(CODE + 0x80, { name: "gate", passes: "args", call: () => ++calls % 5000 === 0 });
			cpu.addCallSite(CODE + 0x20);
			cpu.state.setKaddr(RIP, CODE);
			cpu.state.setKaddr(RSP, DATA + 0x1800);
		}
		const run = (): void => {
			for (let n = 0; n < 150; n++) {
				const stops = cpus.map((cpu) => cpu.run(59_999));
				expect(stops.map(({ kind, executed }) => [kind, executed])[1]).toEqual([stops[0]!.kind, stops[0]!.executed]);
				expect(look(cpus[1]!)).toEqual(look(cpus[0]!));
			}
		};
		for (const site of [NOP, FIRST, SECOND, FIRST, NOP, SECOND]) {
			for (const cpu of cpus) {
				cpu.memory.write(CODE + 0x20, Uint8Array.from(site));
				cpu.textChanged(CODE + 0x20, site.length);
			}
			run();
		}
		expect(cpus[1]!.statistics.hot).toBeGreaterThan(1);
	});

	test("a store gate in a hot loop: at several addresses, across pages, not at all, with an error", () => {
		// start: call gate; mov rax, [rcx+16]; add rbx, rax; add rcx, rbp; jmp start
		const code = [0xe8, 0x3b, 0, 0, 0, 0x48, 0x8b, 0x41, 0x10, 0x48, 0x01, 0xc3, 0x48, 0x01, 0xe9, 0xeb, 0xef];
		const cpus = [machine(Number.POSITIVE_INFINITY), machine(300)];
		const runs = cpus.map((cpu) => {
			cpu.memory.write(CODE, Uint8Array.from(code));
			cpu.memory.write(CODE + 0x40, Uint8Array.from([0x90, 0xc3]));
			let calls = 0;
			const make = (caught: (error: unknown) => number) => (rcx: number) => {
				if (++calls === 4000) return caught(new Error("4,000 calls"));
				return calls % 7 === 0 ? 0 : (rcx + calls) | 0;
			};
			cpu.addGate(CODE + 0x40, { name: "gate", passes: "store", takes: RCX, at: 16, make });
			cpu.state.setKaddr(RIP, CODE);
			cpu.state.setKaddr(RSP, DATA + DATA_SIZE + 0xf20);
			return () => {
				try {
					return cpu.run(9_999);
				} catch (error) {
					return (error as Error).message;
				}
			};
		});
		const ends = new Set<string>();
		// The last one runs past the stack, and out of what is mapped.
		for (const step of [0, 0, 0, 8, 0, 9, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40]) {
			for (const { state } of cpus) {
				state.words[RBP] = BigInt(step);
				state.setKaddr(RCX, DATA);
			}
			const [first, second] = runs.map((run) => run());
			expect(second).toEqual(first);
			expect(look(cpus[1]!)).toEqual(look(cpus[0]!));
			ends.add(typeof first === "string" ? first : first!.kind);
		}
		expect([...ends]).toEqual(["budget", "4,000 calls", expect.stringContaining("nothing is mapped")]);
		expect(cpus[1]!.statistics.hot).toBeGreaterThan(0);
	});

	const scenarios = readdirSync("scenarios").filter((name) => name.endsWith(".yaml"));
	test.each(sample(scenarios, 6))("%s: the same events", async (name) => {
		const file = `scenarios/${name}`;
		const run = async (warm: number) => {
			const createCpu = (_name: string | undefined, memory: Memory) => new JitCpu(memory, { heat: heat(warm) });
			const events: string[] = [];
			const onEvent = (event: string) => events.push(event);
			const scenario = parseScenario(readFileSync(file, "utf8"), file);
			const report = await runScenario(scenario, { cpu: "jit", host: { ...nodeHost(file), createCpu }, onEvent });
			return { report, events };
		};
		expect(await run(500)).toEqual(await run(Number.POSITIVE_INFINITY));
	});

	const folder = mkdtempSync(join(tmpdir(), "klpemu-tiers-"));
	afterAll(() => rmSync(folder, { recursive: true }));

	function compile(source: string, level: string): Uint8Array {
		writeFileSync(join(folder, "p.c"), `__asm__(".section .start,\\"ax\\"; call f; int3; .text");\n${source}`);
		const start = `0x${toU64(CODE).toString(16)}`;
		writeFileSync(
			join(folder, "p.ld"),
			`SECTIONS { . = ${start}; .all : { *(.start) *(.text*) *(.rodata*) *(.data*) } /DISCARD/ : { *(*) } }`,
		);
		const flags =
			"-w -mgeneral-regs-only -mno-red-zone -ffreestanding -fno-pic -fno-stack-protector -mcmodel=kernel -nostdlib -static";
		const linker = ["-Wl,-T,p.ld", "-Wl,--oformat=binary", "-Wl,--build-id=none"];
		const args = [level, ...flags.split(" "), ...linker, "-o", "p.bin", "p.c"];
		const { status, stderr } = spawnSync("gcc", args, { cwd: folder, encoding: "utf8" });
		if (status !== 0) throw new Error(`gcc ${level}: ${stderr}`);
		return Uint8Array.from(readFileSync(join(folder, "p.bin")));
	}

	test("a hot loop in a function that returns to several callers, each with a frame of its own", () => {
		// noipa: otherwise gcc keeps x in a register that it knows leaf() not to use.
		const noinline = "__attribute__((noinline, noipa)) long";
		const source = `
			${noinline} leaf(long x) { long s = 0; for (int i = 0; i < 8; i++) if (x >> i & 1) s += i; return s; }
			${noinline} a(long x) { return 1000 * x + leaf(x); }
			${noinline} b(long x) { return 7 * x - leaf(x ^ 5); }
			long f(long x) { for (long i = 0; i < 2000; i++) { x += a(i); x ^= b(x); } return x; }`;
		const state = new BigUint64Array(STATE_WORDS);
		state.set([toU64(CODE), 0x202n], RIP);
		state[RSP] = toU64(DATA + DATA_SIZE - 64);
		const data = new Uint8Array(DATA_SIZE + 0x1000);
		expect(compare(compile(source, "-O2"), state, data, new Random(31), 1_000_000)).toBeGreaterThan(0);
	});

	test.each(sample(["-O2", "-O0", "-Os", "-O1", "-O3"], 3))("random C at %s", (level) => {
		const random = new Random(29);
		let hot = 0;
		for (let n = 0; n < PROGRAMS; n++) {
			const source = new ProgramWriter(random).write();
			const code = compile(source, level);
			const state = new BigUint64Array(STATE_WORDS);
			for (const register of [RDI, 6, 2, 1]) state[register] = edgeOrRandom(random);
			state[RSP] = toU64(DATA + DATA_SIZE - 64);
			state[RIP] = toU64(CODE);
			state[RFLAGS] = 0x202n;
			hot += compare(code, state, new Uint8Array(DATA_SIZE), random, 300_000);
		}
		expect(hot).toBeGreaterThan(0);
	});
});
