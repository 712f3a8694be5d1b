/** What an instruction makes of what (cpu/x86/data-flow.ts): what is not among its inputs makes no difference, in any form of any opcode. */
import { expect, test } from "vitest";
import { RFLAGS, RIP, RSP } from "../../src/cpu/index.js";
import { accessesOf, dataFlowOf, decodeBytes, FLAGS } from "../../src/cpu/x86/index.js";
import { LONG } from "../support/sample.js";
import { type Case, CODE, type Outcome } from "./case.js";
import { casesOf, TABLE } from "./generate.js";
import { Random } from "./random.js";
import { cpuRunner } from "./runners.js";

const ARITHMETIC = 0x8d5n;
/** Registers, then flags, then the pattern of the memory. */
const MEMORY = FLAGS + 1;

function changed(given: Case, what: number, random: Random): Case {
	if (what === MEMORY) return { ...given, pattern: given.pattern.map((byte) => byte ^ random.below(256)) };
	const state = given.state.slice();
	if (what === FLAGS) state[RFLAGS]! ^= random.word() & ARITHMETIC;
	else state[what]! ^= random.word() >> BigInt(random.below(64));
	return { ...given, state };
}

/** What is wrong with the description of the instruction; empty: nothing. */
function problems(given: Case, what: number, before: Outcome, after: Outcome): string[] {
	const instruction = decodeBytes(given.code, CODE);
	if ("error" in instruction) return [];
	const flow = dataFlowOf(instruction);
	const reads = flow.stack === "pop" || flow.stack === "leave" || accessesOf(instruction).some((one) => one.reads);
	const decides = what === MEMORY ? flow.memoryDecides : flow.decide.includes(what);
	const isInput = what === MEMORY ? reads : flow.inputs.includes(what);
	if (decides || what === RSP) return [];
	if (before.kind !== after.kind) return [`${what} decides how it ends`];
	const found: string[] = [];
	if (before.state[RIP] !== after.state[RIP]) found.push(`${what} decides where it goes`);
	const places = ({ changes }: Outcome) => changes.map(([offset]) => offset).join();
	const isSame = (register: number) => before.state[register] === after.state[register];
	const written = new Set([...flow.sets, ...flow.changes, ...flow.decide]);
	for (let register = 0; register < FLAGS; register++) {
		const isFree = register === RSP || written.has(register);
		if (!isFree && before.state[register] !== given.state[register]) found.push(`it writes ${register}`);
		if (isInput || (register === what && !flow.sets.includes(register))) continue;
		if (!isSame(register)) found.push(`${what} gets into ${register}`);
	}
	const mask = ARITHMETIC & ~given.undefinedFlags;
	const flags = ({ state }: Outcome) => state[RFLAGS]! & mask;
	if (!isInput && (what !== FLAGS || flow.sets.includes(FLAGS)) && flags(before) !== flags(after))
		found.push(`${what} gets into the flags`);
	if (what !== MEMORY && !isInput) {
		if (JSON.stringify(places(before)) !== JSON.stringify(places(after))) found.push(`${what} gets into memory`);
	}
	return found;
}

test("what is no input of an instruction makes no difference", async () => {
	const random = new Random(7);
	const runner = await cpuRunner("interpreter");
	const forms = TABLE.flatMap((row, index) => casesOf(row, new Random(index + 1)));
	// The time is no result of its registers.
	const given = forms.filter(({ rows }, index) => index % (LONG ? 6 : 36) === 0 && !/ rdtscp?$/.test(rows[0]!));
	const found = new Set<string>();
	for (const one of given) {
		const others = Array.from({ length: MEMORY + 1 }, (_, what) => changed(one, what, random));
		const [before, ...after] = await runner.run([one, ...others]);
		for (const [what, outcome] of after.entries()) {
			for (const problem of problems(one, what, before!, outcome)) found.add(`${one.rows[0]}: ${problem}`);
		}
	}
	runner.close();
	expect([...found]).toEqual([]);
	expect(given.length).toBeGreaterThan(300);
});
