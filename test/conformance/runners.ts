import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Cpu } from "../../src/cpu/index.js";
import { JitCpu } from "../../src/cpu/jit/index.js";
import { Memory, PERM } from "../../src/memory/index.js";
import { CPU_NAMES, createCpu, sha256 } from "../../src/node/index.js";
import { type Case, CODE, CODE_SIZE, DATA, DATA_SIZE, type Outcome, PATTERN_BYTES, type Runner } from "./case.js";

const INT3 = 0xcc;
/** No case runs longer: more is a loop that does not end. */
const BUDGET = 5_000_000;

/** The Cpus that are compared: jit once with nothing translated, once with everything. */
export const RUNNERS = ["interpreter", ...CPU_NAMES] as const;

function create(name: string, memory: Memory): Cpu | Promise<Cpu> {
	if (name === "interpreter") return new JitCpu(memory, { heat: { cold: Number.POSITIVE_INFINITY } });
	return name === "jit" ? new JitCpu(memory, { heat: { cold: 0 } }) : createCpu(name, memory);
}

/** Runs cases on a Cpu: at one go, or in slices of so many instructions, `watch` before each. */
export async function cpuRunner(
	name: string,
	slice = BUDGET,
	watch: (given: Case, state: BigUint64Array) => void = () => {},
): Promise<Runner & { readonly description: string; close(): void }> {
	const memory = new Memory({ bytes: 1 << 20 });
	const code = memory.map("code", CODE, CODE_SIZE, PERM.READ | PERM.EXEC);
	const data = memory.map("data", DATA, DATA_SIZE, PERM.READ | PERM.WRITE);
	const cpu = await create(name, memory);
	const text = memory.bytes.subarray(code.offset, code.offset + CODE_SIZE).fill(INT3);
	const bytes = memory.bytes.subarray(data.offset, data.offset + DATA_SIZE);
	let last: Uint8Array | undefined;
	const one = (given: Case): Outcome => {
		if (last !== given.code) {
			const length = Math.max(last?.length ?? 0, given.code.length);
			text.fill(INT3, 0, last?.length ?? 0);
			text.set(given.code);
			cpu.textChanged(CODE, length);
			last = given.code;
		}
		bytes.set(given.pattern);
		for (let filled = PATTERN_BYTES; filled < DATA_SIZE; filled *= 2) bytes.copyWithin(filled, 0, filled);
		return execute(cpu, given, bytes, slice, watch);
	};
	const { description = name } = cpu as { description?: string };
	return { name, description, run: async (cases) => cases.map(one), close: () => cpu.close() };
}

function execute(
	cpu: Cpu,
	given: Case,
	data: Uint8Array,
	slice: number,
	watch: (given: Case, state: BigUint64Array) => void,
): Outcome {
	cpu.state.words.set(given.state);
	watch(given, cpu.state.words);
	let stop = cpu.run(slice);
	let { executed } = stop;
	while (stop.kind === "budget" && executed < BUDGET) {
		watch(given, cpu.state.words);
		stop = cpu.run(slice);
		executed += stop.executed;
	}
	const fault = stop.kind === "fault" ? stop.fault : undefined;
	const changes: [number, bigint][] = [];
	const words = new BigUint64Array(data.buffer, data.byteOffset, data.length / 8);
	// Of 32 bits: each read of a word of 64 makes a bigint.
	const halves = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
	const pattern = new Uint32Array(given.pattern.slice().buffer);
	for (let i = 0; i < halves.length; i += 2) {
		const at = i % pattern.length;
		if (halves[i] !== pattern[at] || halves[i + 1] !== pattern[at + 1]) changes.push([4 * i, words[i / 2]!]);
	}
	return {
		kind: fault?.kind ?? stop.kind,
		address: fault?.address,
		executed,
		state: [...cpu.state.words.subarray(0, 18)],
		changes,
	};
}

const KINDS = new Map<bigint, string>([
	[0n, "divide-error"],
	[3n, "breakpoint"],
	[6n, "invalid-opcode"],
	[12n, "stack-segment"],
	[13n, "general-protection"],
	[14n, "page-fault"],
	[255n, "budget"],
]);

/**
 * The processor of this machine; undefined, with the reason printed, where it cannot be used. A case that has not ended after
 * `tick` microseconds goes on in single steps, which are counted; 0: all cases go in single steps. The outcomes are the same.
 * It has no end after so many `steps`.
 */
export function hardwareRunner(tick = 1_000_000, steps = 200_000): Runner | undefined {
	if (process.arch !== "x64" || process.platform !== "linux") {
		process.stderr.write("conformance: no comparison with the hardware, it is not x86-64 Linux\n");
		return undefined;
	}
	const binary = buildHardware();
	if (binary === undefined) return undefined;
	return {
		name: "hardware",
		run: async (cases) => {
			const { status, stdout, error } = spawnSync(binary, [String(tick), String(steps)], {
				input: Buffer.concat(requests(cases)),
				maxBuffer: 1 << 30,
			});
			if (status !== 0) throw new Error(`hardware runner: exit status ${status}`, { cause: error });
			return answers(stdout, cases.length);
		},
	};
}

function buildHardware(): string | undefined {
	const source = fileURLToPath(new URL("hardware.c", import.meta.url));
	const folder = fileURLToPath(new URL("../../.cache/", import.meta.url));
	// Of this source, whatever the clock says; several processes of tests may begin together.
	const binary = `${folder}hardware-${sha256(readFileSync(source)).slice(0, 12)}`;
	if (existsSync(binary)) return binary;
	mkdirSync(folder, { recursive: true });
	const own = `${binary}.${process.pid}`;
	const { status, stderr, error } = spawnSync("gcc", ["-O1", "-o", own, source], { encoding: "utf8" });
	if (error !== undefined) {
		process.stderr.write("conformance: no comparison with the hardware, there is no gcc\n");
		return undefined;
	}
	if (status !== 0) throw new Error(`gcc: ${stderr}`);
	renameSync(own, binary);
	return binary;
}

function requests(cases: readonly Case[]): Buffer[] {
	const parts: Buffer[] = [];
	let last: Uint8Array | undefined;
	for (const { state, pattern, code } of cases) {
		const header = Buffer.alloc(19 * 8 + PATTERN_BYTES + 8);
		state.forEach((word, index) => {
			header.writeBigUInt64LE(word, 8 * index);
		});
		header.set(pattern, 19 * 8);
		header.writeUInt32LE(code.length, 19 * 8 + PATTERN_BYTES);
		header.writeUInt32LE(code === last ? 1 : 0, 19 * 8 + PATTERN_BYTES + 4);
		parts.push(header);
		if (code !== last) parts.push(Buffer.from(code));
		last = code;
	}
	return parts;
}

function answers(bytes: Buffer, count: number): Outcome[] {
	let at = 0;
	const next = (): bigint => {
		at += 8;
		return bytes.readBigUInt64LE(at - 8);
	};
	return Array.from({ length: count }, () => {
		const state = Array.from({ length: 18 }, next);
		const [vector, , cr2, changed] = [next(), next(), next(), next()];
		const changes = Array.from({ length: Number(changed) }, (): [number, bigint] => [Number(next()), next()]);
		const kind = KINDS.get(vector) ?? `vector ${vector}`;
		return { kind, address: kind === "page-fault" ? cr2 : undefined, state, changes };
	});
}
