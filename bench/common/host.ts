/** What a number was measured on. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { PROJECT } from "../../src/toolchain/node.js";

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

/** Versions of everything a number depends on, by name. */
export type Versions = Readonly<Record<string, string>>;

export function versions(): Versions {
	const from = createRequire(import.meta.url);
	const version = (path: string) => (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
	const dependency = (name: string) => version(join(from.resolve(name), "..", "..", "package.json"));
	return {
		klpemu: version(join(PROJECT, "package.json")),
		node: process.versions.node,
		v8: process.versions.v8,
		tinybench: dependency("tinybench"),
		uplot: dependency("uplot"),
	};
}

/** What keeps this machine from measuring well just now, in words; empty when nothing is known to. */
export function machineWarnings(): string[] {
	const [load = 0] = loadavg();
	const cores = cpus().length;
	const busy = load > cores / 2;
	return busy ? [`the machine is busy: load ${load.toFixed(1)} on ${cores} cores`] : [];
}
