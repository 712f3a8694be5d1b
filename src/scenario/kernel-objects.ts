import { KlpemuError } from "../base/index.js";
import type { ElfObject } from "../elf/index.js";
import type { KernelLayout } from "../linux/klp-c/index.js";
import { type KernelObject, kernelObjectOf } from "../linux/module/index.js";
import type { Host } from "./host.js";
import type { Scenario } from "./scenario.js";
import { type LivepatchSpec, type ModuleSpec, type SourceRef, whereOf } from "./types.js";

/** A .ko that a scenario names. */
export interface LoadedKernelObject {
	readonly ko: KernelObject;
	/** `file:line:column` of the scenario. */
	readonly where: string;
}

/** Every object that a scenario needs, parsed. */
export interface LoadedObjects {
	readonly vmlinux: readonly ElfObject[];
	readonly modules: ReadonlyMap<string, readonly ElfObject[]>;
	/** Without modules that turn out to be no livepatches: those are in `modules`. */
	readonly livepatches: ReadonlyMap<string, readonly ElfObject[]>;
	readonly kernelObjects: readonly LoadedKernelObject[];
}

/** The .ko among the sources of a module or livepatch. Throws `SCENARIO_KO` for one that cannot be that module. */
function only(
	scenario: Scenario,
	{ name, sources }: ModuleSpec | LivepatchSpec,
	objects: readonly ElfObject[],
): LoadedKernelObject | undefined {
	const all = sources.map((source, index) => ({
		source,
		object: objects[index]!,
		ko: kernelObjectOf(objects[index]!),
	}));
	for (const { source, ko } of all) {
		const bad = (reason: string, hint: string) => koError(scenario, source, reason, hint);
		if (ko === undefined && !source.path.endsWith(".ko")) continue;
		if (ko === undefined) {
			const hint = "it has no .gnu.linkonce.this_module: give the .ko that make modules makes";
			throw bad(`'${source.path}' is no module of the kernel's build`, hint);
		}
		if (all.length > 1) throw bad(`'${name}' has a .ko and other sources`, "a .ko is a whole module: name it alone");
		if (ko.name !== name) {
			throw bad(
				`'${source.path}' is the module '${ko.name}', not '${name}'`,
				`call it ${ko.name}: the name is built in`,
			);
		}
		return { ko, where: whereOf(scenario.fileName, source.position) };
	}
	return undefined;
}

function koError(scenario: Scenario, source: SourceRef, reason: string, hint: string): KlpemuError {
	return new KlpemuError("SCENARIO_KO", reason, { where: whereOf(scenario.fileName, source.position), hint });
}

/** Finds the .ko files among the sources, and moves those that are no livepatches to the modules. Throws `SCENARIO_KO`. */
export function separate(scenario: Scenario, loaded: Omit<LoadedObjects, "kernelObjects">): LoadedObjects {
	for (const [index, object] of loaded.vmlinux.entries()) {
		if (kernelObjectOf(object) === undefined) continue;
		const source = scenario.vmlinux[index]!;
		throw koError(
			scenario,
			source,
			`'${source.path}' is a module, and cannot be part of vmlinux`,
			"name it in modules",
		);
	}
	const kernelObjects: LoadedKernelObject[] = [];
	const modules = new Map(loaded.modules);
	const livepatches = new Map(loaded.livepatches);
	for (const spec of [...scenario.modules.values(), ...scenario.livepatches.values()]) {
		const objects = (loaded.livepatches.get(spec.name) ?? loaded.modules.get(spec.name))!;
		const found = only(scenario, spec, objects);
		if (found === undefined) continue;
		kernelObjects.push(found);
		if (found.ko.livepatch || scenario.livepatches.get(spec.name)?.objects.length !== 0) continue;
		livepatches.delete(spec.name);
		modules.set(spec.name, objects);
	}
	return { vmlinux: loaded.vmlinux, modules, livepatches, kernelObjects };
}

/** The layout of the kernel that all .ko files are of, which is that of the core, if one is given; undefined: there are none. Throws `SCENARIO_KO`, and what the host throws. */
export async function kernelLayoutOf(
	found: readonly LoadedKernelObject[],
	host: Host,
	core: KernelLayout | undefined,
): Promise<KernelLayout | undefined> {
	const [first] = found;
	if (first === undefined) return core;
	const { release, object } = first.ko;
	if (core !== undefined && core.release !== release) {
		throw new KlpemuError(
			"SCENARIO_KO",
			`'${object.fileName}' is of Linux ${release}, and the machine's kernel is ${core.release}`,
			{
				where: first.where,
				hint: "klpemu kernel build --headers DIR makes a core of that kernel's headers",
			},
		);
	}
	const other = found.find(({ ko }) => ko.release !== release);
	if (other !== undefined) {
		const message = `'${other.ko.object.fileName}' is of Linux ${other.ko.release}, and '${object.fileName}' of ${release}`;
		throw new KlpemuError("SCENARIO_KO", message, {
			where: other.where,
			hint: "one machine has the modules of one kernel",
		});
	}
	if (core !== undefined) return core;
	if (host.kernelLayout !== undefined) return host.kernelLayout(release, object.fileName);
	throw new KlpemuError("KERNEL_LAYOUT", `'${object.fileName}' is a .ko, and this host has no layouts of kernels`, {
		where: first.where,
		hint: "Host.kernelLayout gives them",
	});
}
