import { KlpemuError } from "../base/index.js";
import { type ElfObject, type ElfSymbol, parseElf } from "../elf/index.js";
import { checkFunctions } from "./functions.js";
import type { ObjectLoader } from "./host.js";
import { type LoadedObjects, separate } from "./kernel-objects.js";
import type { Scenario } from "./scenario.js";
import { findSource } from "./source.js";
import { type FileReader, type LivepatchSpec, type SourceRef, whereOf } from "./types.js";

export type { ObjectLoader } from "./host.js";
export type { LoadedObjects } from "./kernel-objects.js";

function isInit({ name, section }: ElfSymbol): boolean {
	return name === "init_module" && section !== 0;
}

/** A livepatch is described in the scenario, or enables itself in C: if it did both, it would be enabled twice. */
function checkEnables(scenario: Scenario, spec: LivepatchSpec, objects: readonly ElfObject[]): void {
	const calls = objects.find(({ symbols }) => symbols.some(({ name }) => name === "klp_enable_patch"));
	if (spec.objects.length === 0 || calls === undefined) return;
	const message = `livepatch '${spec.name}' says what it patches twice: here, and in ${calls.fileName}, which calls klp_enable_patch()`;
	throw new KlpemuError("SCENARIO_DUPLICATE", message, {
		where: whereOf(scenario.fileName, spec.objects[0]!.position),
		hint: "leave out funcs and objects here, or leave the functions alone in the source",
	});
}

/** An error that has no place of its own, with the place that names the source. */
function placed(error: unknown, where: string): unknown {
	if (!(error instanceof KlpemuError) || error.where !== undefined) return error;
	const { code, reason, hint, cause } = error;
	return new KlpemuError(code, reason, { where, hint, cause });
}

/** Finds, compiles and parses all sources, and checks that the functions that the scenario names are in them. */
export async function loadObjects(scenario: Scenario, files: FileReader, load: ObjectLoader): Promise<LoadedObjects> {
	const cache = new Map<string, Promise<ElfObject>>();
	const found = async (source: SourceRef): Promise<ElfObject> => {
		const path = await findSource(scenario, files, source);
		const object =
			cache.get(path) ?? load(path, { ibt: scenario.ibt }).then(({ bytes, fileName }) => parseElf(bytes, fileName));
		cache.set(path, object);
		return object;
	};
	const one = (source: SourceRef): Promise<ElfObject> =>
		found(source).catch((error) => {
			throw placed(error, whereOf(scenario.fileName, source.position));
		});
	const all = (sources: readonly SourceRef[]) => Promise.all(sources.map(one));
	const group = async (specs: ReadonlyMap<string, { readonly sources: readonly SourceRef[] }>) => {
		const loaded = new Map<string, readonly ElfObject[]>();
		for (const [name, spec] of specs) loaded.set(name, await all(spec.sources));
		return loaded;
	};
	const loaded = {
		vmlinux: await all(scenario.vmlinux),
		modules: await group(scenario.modules),
		livepatches: await group(scenario.livepatches),
	};
	const objects = separate(scenario, loaded);
	for (const { name, objects: patched, position } of scenario.livepatches.values()) {
		// The init of a .ko is in its struct module, whatever it is called.
		const isKo = objects.kernelObjects.some(({ ko }) => ko.name === name);
		if (patched.length > 0 || isKo || objects.livepatches.get(name)!.some(({ symbols }) => symbols.some(isInit)))
			continue;
		throw new KlpemuError("SCENARIO_NO_PATCH", `livepatch '${name}' does not say what it patches`, {
			where: whereOf(scenario.fileName, position),
			hint: "funcs: { OLD: NEW }, objects: { vmlinux: { OLD: NEW } }, or C code with a module_init() that calls klp_enable_patch()",
		});
	}
	for (const spec of scenario.livepatches.values())
		checkEnables(scenario, spec, objects.livepatches.get(spec.name) ?? []);
	const functions = (list: readonly ElfObject[]) =>
		new Set(
			list.flatMap((object) =>
				object.symbols.filter((symbol) => symbol.type === "func" && symbol.section !== 0).map((symbol) => symbol.name),
			),
		);
	const known = {
		kernel: functions([...objects.vmlinux, ...[...objects.modules.values()].flat()]),
		livepatches: new Map([...objects.livepatches].map(([name, list]) => [name, functions(list)])),
	};
	await checkFunctions(scenario, known, files);
	return objects;
}
