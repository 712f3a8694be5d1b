/** The machine on which a number was measured. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { KlpemuError } from "../../src/base/index.js";
import { Memory } from "../../src/memory/index.js";
import { PROJECT } from "../../src/node/index.js";
import { createUnicornCpu } from "../../src/node/unicorn/index.js";

export interface MachineDescription {
	readonly processor: string;
	readonly cores: number;
	readonly memoryGiB: number;
	readonly node: string;
	readonly kernel: string;
}

export function describeMachine(): MachineDescription {
	const [processor] = cpus();
	return {
		processor: processor?.model ?? "unknown",
		cores: cpus().length,
		memoryGiB: Math.round(totalmem() / 2 ** 30),
		node: process.version,
		kernel: release(),
	};
}

/** Versions of all software that a number depends on, by name. */
export type Versions = Readonly<Record<string, string>>;

export async function versions(): Promise<Versions> {
	const from = createRequire(import.meta.url);
	const version = (path: string) => (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
	const dependency = (name: string) => version(join(from.resolve(name), "..", "..", "package.json"));
	const commit = await firstLine("git", ["-C", PROJECT, "describe", "--always", "--dirty"]);
	const compiler = await firstLine(process.env.CC ?? "gcc", ["--version"]);
	const own = version(join(PROJECT, "package.json"));
	return {
		klpemu: commit === undefined ? own : `${own} (${commit})`,
		node: process.versions.node,
		v8: process.versions.v8,
		...(await unicornVersion()),
		...(compiler !== undefined && { compiler }),
		tinybench: dependency("tinybench"),
		uplot: dependency("uplot"),
	};
}

/** The first line of a program's output; undefined if the program is not installed or fails. */
async function firstLine(program: string, args: readonly string[]): Promise<string | undefined> {
	try {
		const { stdout } = await promisify(execFile)(program, args);
		return stdout.split("\n")[0];
	} catch {
		return undefined;
	}
}

/** The build of Unicorn. Jobs that need Unicorn report themselves if it is missing. */
async function unicornVersion(): Promise<Versions> {
	try {
		const cpu = await createUnicornCpu(new Memory({ bytes: 1 << 16 }));
		const { description } = cpu;
		cpu.close();
		return { unicorn: description };
	} catch (error) {
		if (error instanceof KlpemuError && error.code === "CPU_UNICORN_MISSING") return {};
		throw error;
	}
}

/** Known reasons, in words, why this machine cannot measure well now; empty if there are none. */
export function machineWarnings(): string[] {
	const [load = 0] = loadavg();
	const cores = cpus().length;
	const busy = load > cores / 2;
	return busy ? [`the machine is busy: load ${load.toFixed(1)} on ${cores} cores`] : [];
}
