import { describe, expect, test } from "vitest";
import { RCX, RDI, RFLAGS } from "../../src/cpu/index.js";
import { CPU_NAMES } from "../../src/node/index.js";
import { type Case, CODE, DATA, type Outcome } from "./case.js";
import { compare } from "./compare.js";
import { casesOf, rowName, TABLE } from "./generate.js";
import { KINDS } from "./kinds.js";
import { onProcessor } from "./models.js";
import { Random } from "./random.js";
import { cpuRunner } from "./runners.js";

/** Cases of one row, with what a Cpu makes of them. */
async function outcomes(cpu: string, row: RegExp): Promise<[Case, Outcome][]> {
	const cases = TABLE.filter((one) => row.test(rowName(one))).flatMap((one) => casesOf(one, new Random(1)));
	const runner = await cpuRunner(cpu);
	const results = await runner.run(cases);
	runner.close();
	return cases.map((given, index) => [given, results[index]!]);
}

function failures(given: Case, ours: Outcome, hardware: Outcome): string[] {
	return compare("jit", [given], [ours], [hardware]).failures;
}

describe("a call to a non-canonical address", () => {
	const failed = async (cpu: string) =>
		(await outcomes(cpu, /^ff \/2 call$/)).filter(([, { kind }]) => kind === "general-protection");

	test("has not pushed in jit, and has in unicorn; rsp is as it was in both", async () => {
		const pushed = async (cpu: string) => (await failed(cpu)).map(([, { changes }]) => changes.length);
		expect((await pushed("jit")).length).toBeGreaterThan(3);
		expect(new Set(await pushed("jit"))).toEqual(new Set([0]));
		expect(new Set(await pushed("unicorn"))).toEqual(new Set([1]));
		for (const cpu of CPU_NAMES) {
			for (const [given, { state }] of await failed(cpu)) expect(state[4]).toBe(given.state[4]);
		}
	});

	test("compares equal with a processor of either kind, and of no third kind", async () => {
		const [given, ours] = (await failed("jit"))[0]!;
		const offset = Number(given.state[4]! - 8n - DATA);
		const pushed = (at: number, word: bigint): Outcome => ({ ...ours, changes: [[at, word]] });
		const address = CODE + BigInt(given.code.length);
		expect(failures(given, ours, ours)).toEqual([]);
		expect(failures(given, ours, pushed(offset, address))).toEqual([]);
		expect(failures(given, ours, pushed(offset, address + 1n))).toHaveLength(1);
		expect(failures(given, ours, pushed(offset - 8, address))).toHaveLength(1);
	});
});

describe("bsf and bsr of a source that is 0", () => {
	const zero = async (cpu: string) =>
		(await outcomes(cpu, /^0f b[cd] \/r bs[fr]$/)).filter(([, { state }]) => (state[17]! & 0x40n) !== 0n);

	test("leave all 64 bits of the destination in jit", async () => {
		const found = await zero("jit");
		expect(found.length).toBeGreaterThan(3);
		for (const [given, { state }] of found) expect(state.slice(0, 16)).toEqual([...given.state.subarray(0, 16)]);
	});

	test("compare equal with a processor that clears the upper half of a 32-bit destination", async () => {
		const found = await zero("jit");
		let cleared = 0;
		for (const [given, ours] of found) {
			for (let register = 0; register < 16; register++) {
				const upper = ours.state[register]! & 0xffffffffn;
				if (upper === ours.state[register]) continue;
				const other = { ...ours, state: ours.state.with(register, upper) };
				if (failures(given, ours, other).length === 0) cleared++;
			}
		}
		expect(cleared).toBeGreaterThan(0);
		expect(cleared).toBeLessThanOrEqual(found.length);
	});
});

describe("a repeated comparison that faults half-way", () => {
	const faulting = KINDS.filter(({ name, state }) => /cmps|scas/.test(name) && state[RCX] === 40n);

	test("leaves the flags of before in jit, and rcx, rsi and rdi at the element", async () => {
		const runner = await cpuRunner("jit");
		const outcomes = await runner.run(faulting);
		runner.close();
		let faults = 0;
		for (const [n, { kind, state }] of outcomes.entries()) {
			const given = faulting[n]!.state;
			if (kind === "breakpoint") continue;
			faults++;
			expect([kind, state[RFLAGS]]).toEqual(["page-fault", given[RFLAGS]]);
			expect(given[RCX]! - state[RCX]!).toBeGreaterThan(5n);
			expect(state[RDI]).toBeGreaterThan(given[RDI]!);
		}
		expect(faults).toBeGreaterThan(20);
	});

	test("compares equal with a processor that has the flags of the last comparison", async () => {
		const given = faulting[0]!;
		const runner = await cpuRunner("jit");
		const [ours] = await runner.run([given]);
		runner.close();
		const other = { ...ours!, state: ours!.state.with(RFLAGS, ours!.state[RFLAGS]! ^ 0x40n) };
		expect(failures(given, ours!, other)).toEqual([]);
		expect(failures(given, { ...ours!, kind: "breakpoint" }, { ...other, kind: "breakpoint" })).toHaveLength(1);
	});
});

test("an address that only five levels of page tables can map: #GP, or a page fault there", async () => {
	const [given, ours] = (await outcomes("jit", /^0f a3 \/r bt$/))[0]!;
	const general: Outcome = { ...ours, kind: "general-protection", address: undefined };
	const fault = (address: bigint): Outcome => ({ ...ours, kind: "page-fault", address });
	expect(failures(given, general, fault(0x00800000_00000000n))).toEqual([]);
	expect(failures(given, general, fault(0xff000000_00000000n))).toEqual([]);
	expect(failures(given, general, fault(0x00000000_70000000n))).toHaveLength(1);
});

test("instructions that an older processor lacks are not compared with it", () => {
	const newer = / (movbe|crc32|popcnt|tzcnt|lzcnt|[ls]ahf|cmpxchg8b)$/;
	const cases = TABLE.filter((row) => newer.test(rowName(row))).flatMap((row) => casesOf(row, new Random(1)));
	const rows = (flags: readonly string[]) =>
		new Set(cases.filter(onProcessor(new Set(flags))).map((given) => given.rows[0]));
	const all = ["movbe", "sse4_2", "popcnt", "bmi1", "abm", "lahf_lm", "cx16"];
	expect(rows(all).size).toBe(10);
	expect(rows([]).size).toBe(0);
});
