import { describe, expect, test } from "vitest";
import { type Cpu, RFLAGS, RSP } from "../../src/cpu/index.js";
import { JitCpu } from "../../src/cpu/jit/index.js";
import { Memory, PERM } from "../../src/memory/index.js";
import { CPU_NAMES, createCpu } from "../../src/node/index.js";
import { edgeOrRandom } from "../conformance/generate.js";
import { Random } from "../conformance/random.js";

/** Runs of random bytes; KLPEMU_FUZZ=1000000 is the full number (npm run fuzz). */
const RUNS = Number(process.env.KLPEMU_FUZZ ?? 1200);
/** Where code and data are: somewhere low, or in the kernel's window, which translated code reaches by itself. */
const PLACES = [
	{ CODE: 0x10000000n, DATA: 0x20000000n },
	{ CODE: 0xffffffff81000000n, DATA: 0xffffffff82000000n },
] as const;
const LIMIT = 1000;
const MAX_CODE = 40;

/** libunicorn 2.0.1 ends the whole process on some bytes ("tcg fatal error" for `f0 a7`, lock cmps): this seed has none in so many runs. */
const UNICORN_SEED = 1;
const UNICORN_RUNS = 4000;
const CASES = CPU_NAMES.flatMap((name) =>
	PLACES.slice(0, name === "unicorn" ? 1 : 2).map(({ CODE, DATA }) => [name, CODE.toString(16), CODE, DATA] as const),
);
/** Loops get to the second tier of the jit at once. */
const create = (name: string, memory: Memory): Cpu | Promise<Cpu> =>
	name === "jit" ? new JitCpu(memory, { heat: { warm: 150, recording: 60 } }) : createCpu(name, memory);
/** A new Cpu now and then: one that finds no loops for long looks for them ever less. */
const RUNS_PER_CPU = 500;

describe("random bytes as code", () => {
	test.each(CASES)(
		"%s at %s: no crash, no hang, nothing outside of its memory, no step past the limit",
		async (name, _, CODE, DATA) => {
			const random = new Random(name === "unicorn" ? UNICORN_SEED : CODE);
			const memory = new Memory({ bytes: 1 << 20 });
			// Canaries: neighbours in the backing store that are not mapped for the guest to write.
			const canaries = [memory.map("canary", 0x30000000n, 4096, PERM.READ)];
			const code = memory.map("code", CODE, 4096, PERM.READ | PERM.EXEC);
			canaries.push(memory.map("canary", 0x31000000n, 4096, PERM.READ));
			const data = memory.map("data", DATA, 4096, PERM.READ | PERM.WRITE);
			canaries.push(memory.map("canary", 0x32000000n, 4096, PERM.READ));
			for (const { offset, length } of canaries) memory.bytes.fill(0xa5, offset, offset + length);
			const table = memory.pageTable.slice();
			let cpu = await create(name, memory);
			let hot = 0;
			const kinds = new Map<string, number>();
			for (let run = 0; run < (name === "jit" ? RUNS / PLACES.length : Math.min(RUNS, UNICORN_RUNS)); run++) {
				const length = 1 + random.below(name === "jit" ? MAX_CODE - 2 : MAX_CODE);
				const bytes = Uint8Array.from({ length: MAX_CODE }, (_, i) =>
					i < length ? Number(random.word() & 0xffn) : 0xcc,
				);
				// Half of the code that the jit gets is a loop, as far as it comes to its end.
				if (name === "jit" && random.below(2) === 0) bytes.set([0xeb, 0x100 - length - 2], length);
				if (name === "jit" && run % RUNS_PER_CPU === RUNS_PER_CPU - 1) {
					cpu.close();
					cpu = await create(name, memory);
				}
				memory.bytes.set(bytes, code.offset);
				cpu.textChanged(CODE, MAX_CODE);
				for (let register = 0; register < 16; register++) {
					cpu.state.words[register] = random.below(3) === 0 ? edgeOrRandom(random) : DATA + BigInt(random.below(4096));
				}
				cpu.state.words[RSP] = DATA + BigInt(8 * random.below(512));
				cpu.state.words[RFLAGS] = 0x202n;
				cpu.state.rip = CODE;
				const stop = cpu.run(LIMIT);
				if (cpu instanceof JitCpu && cpu.statistics.hot > 0) hot++;
				kinds.set(stop.kind, (kinds.get(stop.kind) ?? 0) + 1);
				if (stop.executed > LIMIT || (stop.kind === "budget") !== (stop.executed === LIMIT)) {
					expect.fail(`${stop.kind} after ${stop.executed} instructions: ${Buffer.from(bytes).toString("hex")}`);
				}
				if (!Buffer.from(memory.bytes.buffer, code.offset, MAX_CODE).equals(bytes)) {
					expect.fail(`code overwritten: ${Buffer.from(bytes).toString("hex")}`);
				}
			}
			cpu.close();
			for (const { offset, length } of canaries) {
				expect(memory.bytes.subarray(offset, offset + length).every((byte) => byte === 0xa5)).toBe(true);
			}
			// What belongs to a Cpu are bits 3 to 11 of an entry.
			const changed = table.findIndex((entry, index) => (entry & ~0xff8) !== (memory.pageTable[index]! & ~0xff8));
			expect(changed).toBe(-1);
			expect([...kinds.keys()].sort()).toEqual(["budget", "fault"]);
			expect(data.length).toBe(4096);
			if (name === "jit" && CODE === PLACES[1].CODE) expect(hot).toBeGreaterThan(RUNS / 1000);
		},
	);
});
