import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { RDI, RFLAGS, RIP, RSI, RSP } from "../../src/cpu/index.js";
import { type Case, CODE, DATA, DATA_SIZE, PATTERN_BYTES } from "./case.js";
import { compare } from "./compare.js";
import { edgeOrRandom } from "./generate.js";
import { ProgramWriter } from "./programs.js";
import { Random } from "./random.js";
import { cpuRunner, hardwareRunner, RUNNERS } from "./runners.js";

const hardware = hardwareRunner();
const folder = mkdtempSync(join(tmpdir(), "klpemu-programs-"));
afterAll(() => rmSync(folder, { recursive: true }));

const PROGRAMS = Number(process.env.KLPEMU_PROGRAMS ?? 3);
const LEVELS = ["-O0", "-O1", "-O2", "-O3", "-Os"];
const FLAGS =
	"-w -mgeneral-regs-only -mno-red-zone -ffreestanding -fno-pic -fno-stack-protector -fcf-protection=branch";
const LINKER_SCRIPT = `SECTIONS { . = 0x${CODE.toString(16)}; .all : { *(.start) *(.text*) *(.rodata*) *(.data*) } /DISCARD/ : { *(*) } }`;
const START = '__asm__(".section .start,\\"ax\\"; call f; int3; .text");\n';

/** The flat code of a program: an int3 follows the return of `f`. */
function compile(source: string, level: string): Uint8Array {
	writeFileSync(join(folder, "p.c"), START + source);
	writeFileSync(join(folder, "p.ld"), LINKER_SCRIPT);
	const parameters = [
		level,
		...FLAGS.split(" "),
		"-nostdlib",
		"-static",
		"-Wl,-T,p.ld",
		"-Wl,--oformat=binary",
		"-Wl,--build-id=none",
	];
	const { status, stderr } = spawnSync("gcc", [...parameters, "-o", "p.bin", "p.c"], { cwd: folder, encoding: "utf8" });
	if (status !== 0) throw new Error(`gcc ${level}: ${stderr}\n${source}`);
	return Uint8Array.from(readFileSync(join(folder, "p.bin")));
}

function programCase(code: Uint8Array, name: string, random: Random): Case {
	const state = new BigUint64Array(19);
	for (const register of [RDI, RSI, 2, 1]) state[register] = edgeOrRandom(random);
	state[RSP] = DATA + BigInt(DATA_SIZE - 64);
	state[RIP] = CODE;
	state[RFLAGS] = 0x202n;
	// The last flags may come from an instruction that leaves some undefined.
	return {
		name,
		rows: [name],
		code,
		state,
		pattern: new Uint8Array(PATTERN_BYTES),
		undefinedFlags: -1n,
		notOnHardware: false,
	};
}

describe.skipIf(hardware === undefined)("random C at every optimization level, against the native run", () => {
	const random = new Random(11);
	const cases: Case[] = [];
	for (let index = 0; index < PROGRAMS; index++) {
		const source = new ProgramWriter(random).write();
		for (const level of LEVELS) {
			const code = compile(source, level);
			for (let run = 0; run < 4; run++) cases.push(programCase(code, `program ${index} ${level}`, random));
		}
	}

	test("the programs run to their end", async () => {
		const outcomes = await hardware!.run(cases);
		expect(new Set(outcomes.map(({ kind, state }) => `${kind} ${state[RIP]}`))).toEqual(
			new Set([`breakpoint ${CODE + 5n}`]),
		);
		// And they compute something: hardly two results are the same.
		expect(new Set(outcomes.map(({ state }) => state[0])).size).toBeGreaterThan(cases.length / LEVELS.length / 2);
	});

	test.each(RUNNERS)("%s", async (name) => {
		const runner = await cpuRunner(name);
		const { failures } = compare(name, cases, await runner.run(cases), await hardware!.run(cases));
		runner.close();
		expect(failures.slice(0, 5).join("\n")).toBe("");
	});

	test("instruction counts are the same on every Cpu, also when a run is cut into slices", async () => {
		const given = cases.filter((_, index) => index % 4 === 0);
		const counts: (readonly (number | undefined)[])[] = [];
		for (const name of RUNNERS) {
			for (const slice of [undefined, 1000, 7]) {
				const runner = await cpuRunner(name, slice);
				const outcomes = await runner.run(given);
				runner.close();
				counts.push(outcomes.map(({ executed }) => executed));
				expect(outcomes.map(({ state }) => state[0])).toEqual(
					(await hardware!.run(given)).map(({ state }) => state[0]),
				);
			}
		}
		expect(counts[0]!.every((count) => count! > 50)).toBe(true);
		for (const other of counts) expect(other).toEqual(counts[0]);
	});
});
