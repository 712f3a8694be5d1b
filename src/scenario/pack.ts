import { KlpemuError } from "../base/index.js";
import { KernelLayout } from "../linux/klp-c/index.js";
import { coreOf } from "./core-design.js";
import { fingerprintOf } from "./fingerprint.js";
import { parseScenario } from "./format/index.js";
import type { Host } from "./host.js";
import { kernelLayoutOf } from "./kernel-objects.js";
import { loadObjects } from "./load.js";
import type { Scenario } from "./scenario.js";

/**
 * A scenario with the content of everything that it needs, as plain data: for a machine or a page that has neither its files nor
 * a compiler.
 */
export interface PackedScenario {
	readonly fileName: string;
	/** The scenario file. */
	readonly text: string;
	/** Files that are read as they are, by the name that the scenario has for them: sources for the fingerprint, a kernel core. */
	readonly files: Readonly<Record<string, Uint8Array>>;
	/** Objects by the name of their source. */
	readonly objects: Readonly<Record<string, Uint8Array>>;
	/** The layout of the kernel that its .ko files were made for; values as decimal text. */
	readonly layout?: { readonly release: string; readonly entries: Readonly<Record<string, string>> } | undefined;
}

/**
 * Compiles and reads everything that a scenario needs. Throws the errors of reading it: `SCENARIO_MISSING_FILE`, `GCC_FAILED`, ...
 */
export async function packScenario(text: string, scenario: Scenario, host: Host): Promise<PackedScenario> {
	// By the paths of this machine, which stay here.
	const names = new Map<string, string>();
	const files = new Map<string, Uint8Array>();
	const objects = new Map<string, Uint8Array>();
	const nameOf = (path: string) => names.get(path) ?? path;
	const recording: Host = {
		...host,
		files: {
			candidates: (path) => host.files.candidates(path),
			async find(path) {
				const found = await host.files.find(path);
				if (found !== undefined) names.set(found, nameOf(path));
				return found;
			},
			async read(path) {
				const content = await host.files.read(path);
				if (content !== undefined) files.set(nameOf(path), content);
				return content;
			},
		},
		async loadObject(path, options) {
			const object = await host.loadObject(path, options);
			objects.set(nameOf(path), object.bytes);
			return object;
		},
	};
	const loaded = await loadObjects(scenario, recording.files, recording.loadObject);
	await fingerprintOf(scenario, recording.files);
	const core = await coreOf(scenario, { host: recording });
	const layout = core === undefined ? await kernelLayoutOf(loaded.kernelObjects, host, undefined) : undefined;
	return {
		fileName: scenario.fileName,
		text,
		files: sorted(files),
		objects: sorted(objects),
		layout: layout && plainLayout(layout),
	};
}

/** The scenario of a pack, and a host that has its files. `base`: the services of this machine. */
export function unpackScenario(
	{ text, fileName, files, objects, layout }: PackedScenario,
	base: Pick<Host, "engineImage" | "createCpu" | "loadCapstone">,
): { readonly scenario: Scenario; readonly host: Host } {
	const host: Host = {
		engineImage: () => base.engineImage(),
		createCpu: (name, memory) => base.createCpu(name, memory),
		loadCapstone: base.loadCapstone,
		files: {
			candidates: (path) => [path],
			find: async (path) => (own(objects, path) ?? own(files, path)) && path,
			read: async (path) => own(files, path),
		},
		async loadObject(path) {
			const bytes = own(objects, path);
			if (bytes !== undefined) return { bytes, fileName: path };
			throw new KlpemuError("PACK_MISSING", `the pack of '${fileName}' has no object of '${path}'`, {
				hint: "pack the scenario again, with this version of klpemu",
			});
		},
		kernelLayout: layout && (async () => layoutOf(layout)),
	};
	return { scenario: parseScenario(text, fileName), host };
}

/** In the order of the keys: files are read concurrently, and a pack is the same each time. */
function sorted<T>(map: ReadonlyMap<string, T>): Record<string, T> {
	return Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A path may be called `constructor`. */
function own<T>(record: Readonly<Record<string, T>>, path: string): T | undefined {
	return Object.hasOwn(record, path) ? record[path] : undefined;
}

function plainLayout({ release, entries }: KernelLayout): NonNullable<PackedScenario["layout"]> {
	return { release, entries: Object.fromEntries([...entries].map(([name, value]) => [name, String(value)])) };
}

function layoutOf({ release, entries }: NonNullable<PackedScenario["layout"]>): KernelLayout {
	return new KernelLayout(release, new Map(Object.entries(entries).map(([name, value]) => [name, BigInt(value)])));
}
