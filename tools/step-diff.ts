/**
 * Steps two Cpus through the same code, one instruction at a time, and shows the first difference: the instruction and
 * its changes, start / ours / reference side by side.
 *
 *   echo '{"code":"4801d8","at":"0x10000","regs":{"rax":"1"}}' | npx tsx tools/step-diff.ts [--cpu jit] [--reference unicorn] [--all]
 *
 * The input is a request of `klpemu exec`, which needs `code` and `at`. With --all it repairs our Cpu from the reference and goes on, so that one run
 * finds more than one bug. Exit status: 0 no difference, 1 a difference,
 * 2 no request, or one that is not valid.
 */
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { type Cpu, REGISTER_NAMES, type Stop } from "../src/cpu/index.js";
import { decodeBytes, format } from "../src/cpu/x86/index.js";
import { type ExecRequest, ExecSession, parseRequest } from "../src/exec/index.js";
import { hex } from "../src/memory/index.js";
import { createCpu } from "../src/node/index.js";

const NAMES = [...REGISTER_NAMES, "rip", "rflags"];

interface Side {
	readonly cpu: Cpu;
	readonly name: string;
}

function outcome(stop: Stop): string {
	if (stop.kind !== "fault") return stop.kind;
	const { kind, address } = stop.fault;
	return `${kind}${address === undefined ? "" : ` at ${hex(address)}`}`;
}

/** The words that differ in one range of memory. */
function memoryRows(request: ExecRequest, start: readonly Uint8Array[], ours: Side, reference: Side): string[][] {
	const rows: string[][] = [];
	for (const [index, { address, bytes }] of request.memory.entries()) {
		const [a, b] = [ours, reference].map(({ cpu }) => cpu.memory.read(address, bytes.length));
		for (let i = 0; i < bytes.length; i++) {
			if (a![i] === b![i]) continue;
			const columns = [start[index]!, a!, b!].map((side) => side[i]!.toString(16).padStart(2, "0"));
			rows.push([`* ${hex(address + BigInt(i))}`, ...columns]);
		}
	}
	return rows;
}

function table(rows: readonly (readonly string[])[]): string {
	const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
	return rows
		.map((row) =>
			row
				.map((cell, column) => cell.padEnd(widths[column]!))
				.join("  ")
				.trimEnd(),
		)
		.join("\n");
}

function instructionAt(cpu: Cpu, rip: bigint): string {
	const page = 4096 - Number(rip & 0xfffn);
	if (cpu.memory.permissions(rip) === 0) return "nothing is mapped here";
	const bytes = cpu.memory.read(rip, Math.min(15, page));
	const decoded = decodeBytes(bytes, rip);
	return "row" in decoded ? format(decoded) : decoded.detail;
}

/** One step of both Cpus. Undefined: no difference. */
function step(request: ExecRequest, ours: Side, reference: Side): { report: string | undefined; ended: boolean } {
	const start = reference.cpu.state.words.slice();
	const memory = request.memory.map(({ address, bytes }) => reference.cpu.memory.read(address, bytes.length));
	const what = instructionAt(reference.cpu, start[16]!);
	const [a, b] = [ours.cpu.run(1), reference.cpu.run(1)];
	const rows = [["", "start", ours.name, reference.name]];
	let different = outcome(a) !== outcome(b);
	rows.push([different ? "* ends" : "  ends", "", outcome(a), outcome(b)]);
	for (const [index, name] of NAMES.entries()) {
		const words = [start, ours.cpu.state.words, reference.cpu.state.words].map((side) => side[index]!);
		const differs = words[1] !== words[2];
		different ||= differs;
		if (differs || words[0] !== words[2])
			rows.push([`${differs ? "*" : " "} ${name}`, ...words.map((word) => hex(word))]);
	}
	const bytes = memoryRows(request, memory, ours, reference);
	const report =
		different || bytes.length > 0 ? `${hex(start[16]!)}: ${what}\n${table([...rows, ...bytes])}` : undefined;
	return { report, ended: b.kind === "fault" };
}

function repair(request: ExecRequest, ours: Side, reference: Side): void {
	ours.cpu.state.words.set(reference.cpu.state.words);
	for (const { address, bytes } of request.memory) {
		ours.cpu.memory.write(address, reference.cpu.memory.read(address, bytes.length));
	}
}

const USAGE = `usage: echo REQUEST | npx tsx tools/step-diff.ts [--cpu jit] [--reference unicorn] [--all]
  REQUEST is one of klpemu exec, such as {"code":"4801d8f6c880","at":"0x10000000","regs":{"rax":"1","rbx":"2"}}`;

/** What the tool prints to, and the process's own for the command line. */
type Print = (line: string) => void;

/** The request in the input. Undefined, with the reason in `error`: there is none, or it is not valid. */
function readRequest(input: string, error: Print): ExecRequest | undefined {
	if (input.trim() === "") {
		error(USAGE);
		return undefined;
	}
	try {
		return parseRequest(JSON.parse(input));
	} catch (reason) {
		error(`step-diff: ${reason instanceof Error ? reason.message : String(reason)}\n${USAGE}`);
		return undefined;
	}
}

/** The whole tool: returns the exit status. */
export async function stepDiff(args: readonly string[], input: string, print: Print, error: Print): Promise<number> {
	const { values } = parseArgs({
		args: [...args],
		options: {
			cpu: { type: "string", default: "jit" },
			reference: { type: "string", default: "unicorn" },
			all: { type: "boolean", default: false },
		},
	});
	const request = readRequest(input, error);
	if (request === undefined) return 2;
	const sides: Side[] = [];
	for (const name of [values.cpu, values.reference]) {
		const session = new ExecSession((memory) => createCpu(name, memory));
		sides.push({ name, cpu: await session.start(request) });
	}
	const [ours, reference] = sides as [Side, Side];
	const end = request.code.address + BigInt(request.code.bytes.length);
	let differences = 0;
	let steps = 0;
	for (; steps < request.limit && reference.cpu.state.rip !== end; steps++) {
		const { report, ended } = step(request, ours, reference);
		if (report !== undefined) {
			differences++;
			print(`after ${steps} instructions, ${report}\n`);
			if (!values.all) break;
			repair(request, ours, reference);
		}
		if (ended) break;
	}
	print(`${steps} instructions, ${differences === 0 ? "no difference" : `differences: ${differences}`}`);
	for (const { cpu } of sides) cpu.close();
	return differences === 0 ? 0 : 1;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
	const input = process.stdin.isTTY ? "" : await text(process.stdin);
	process.exitCode = await stepDiff(process.argv.slice(2), input, console.log, console.error);
}
