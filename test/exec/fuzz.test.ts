import { describe, expect, test } from "vitest";
import { CPU_NAMES, createCpu } from "../../src/cpu/create.js";
import { RFLAGS, RSP } from "../../src/cpu/index.js";
import { Memory, PERM } from "../../src/memory/index.js";
import { edgeOrRandom } from "../conformance/generate.js";
import { Random } from "../conformance/random.js";

/** Runs of random bytes; KLPEMU_FUZZ=1000000 is the full number (npm run fuzz). */
const RUNS = Number(process.env.KLPEMU_FUZZ ?? 2000);
const CODE = 0x10000000n;
const DATA = 0x20000000n;
const LIMIT = 1000;
const MAX_CODE = 40;

describe("random bytes as code", () => {
	test.each(CPU_NAMES)(
		"%s: no crash, no hang, nothing outside of its memory, no step past the limit",
		async (name) => {
			const random = new Random(1);
			const memory = new Memory({ bytes: 1 << 20 });
			// Canaries: neighbours in the backing store that are not mapped for the guest to write.
			const canaries = [memory.map("canary", 0x30000000n, 4096, PERM.READ)];
			const code = memory.map("code", CODE, 4096, PERM.READ | PERM.EXEC);
			canaries.push(memory.map("canary", 0x31000000n, 4096, PERM.READ));
			const data = memory.map("data", DATA, 4096, PERM.READ | PERM.WRITE);
			canaries.push(memory.map("canary", 0x32000000n, 4096, PERM.READ));
			for (const { offset, length } of canaries) memory.bytes.fill(0xa5, offset, offset + length);
			const table = memory.pageTable.slice();
			const cpu = await createCpu(name, memory);
			const kinds = new Map<string, number>();
			for (let run = 0; run < (name === "jit" ? RUNS : Math.min(RUNS, 20_000)); run++) {
				const length = 1 + random.below(MAX_CODE);
				const bytes = Uint8Array.from({ length: MAX_CODE }, (_, i) =>
					i < length ? Number(random.word() & 0xffn) : 0xcc,
				);
				memory.bytes.set(bytes, code.offset);
				cpu.textChanged(CODE, MAX_CODE);
				for (let register = 0; register < 16; register++) {
					cpu.state.words[register] = random.below(3) === 0 ? edgeOrRandom(random) : DATA + BigInt(random.below(4096));
				}
				cpu.state.words[RSP] = DATA + BigInt(8 * random.below(512));
				cpu.state.words[RFLAGS] = 0x202n;
				cpu.state.rip = CODE;
				const stop = cpu.run(LIMIT);
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
		},
		60_000 + 60 * RUNS,
	);
});
