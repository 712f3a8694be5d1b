/** Fingerprint of a scenario in a saved schedule: of its contents and of its sources. */
import { Hash } from "../base/index.js";
import { plainCode } from "./plain-code.js";
import type { Scenario } from "./scenario.js";
import type { FileReader } from "./types.js";

/**
 * Of a parsed scenario, defaults filled in, with the text of its sources in place of their names: without comments and blank space, and
 * with the files that they include by `"name"`. Comments and layout may change; a step or a line of code may not.
 */
export async function fingerprintOf(scenario: Scenario, files: FileReader): Promise<string> {
	const hash = new Hash();
	hash.add(JSON.stringify(explored(scenario), plain));
	const sources = [scenario, ...scenario.modules.values(), ...scenario.livepatches.values()].flatMap((part) =>
		"vmlinux" in part ? part.vmlinux : part.sources,
	);
	for (const { path } of sources) await addSource(hash, path, files, new Set());
	return hash.digest();
}

/** The keys on which the explorer's moves depend: without texts for readers and run-time options (the schedule has the design). */
function explored(scenario: Scenario): Partial<Scenario> {
	const { cpus, preemption, hz, ibt, memory, vmlinux, modules, livepatches, ops, tasks, steps } = scenario;
	return { cpus, preemption, hz, ibt, memory, vmlinux, modules, livepatches, ops, tasks, steps };
}

/** As klpemu made it until 0.1: of the bytes of the scenario's file. Schedules of that time have it. */
export function textFingerprint(text: string): string {
	const hash = new Hash();
	hash.add(text);
	return hash.digest();
}

/** For JSON.stringify. */
function plain(key: string, value: unknown): unknown {
	if (key === "position" || key === "callPositions") return undefined;
	if (typeof value === "bigint") return `${value}n`;
	if (value instanceof Map) return [...value];
	// The sources themselves are added, whatever they are called.
	return (key === "sources" || key === "vmlinux") && Array.isArray(value) ? value.length : value;
}

async function addSource(hash: Hash, path: string, files: FileReader, seen: Set<string>): Promise<void> {
	if (seen.has(path)) return;
	seen.add(path);
	const bytes = await files.read(path);
	if (bytes === undefined) return;
	if (!/\.[chS]$/.test(path)) {
		hash.add(hexOf(bytes));
		return;
	}
	const { code, includes } = plainCode(new TextDecoder().decode(bytes), path.endsWith(".S"));
	hash.add(code);
	const folder = path.replace(/[^/]*$/, "");
	for (const name of includes) await addSource(hash, folder + name, files, seen);
}

/** Objects are not text. */
function hexOf(bytes: Uint8Array): string {
	let text = "";
	for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
	return text;
}
