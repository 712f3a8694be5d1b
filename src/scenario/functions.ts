import { cloneHint, KlpemuError, suggest } from "../base/index.js";
import type { Scenario } from "./scenario.js";
import { type FileReader, type SourceRef, whereOf } from "./types.js";

/** The functions that the compiled objects define. */
export interface KnownFunctions {
	/** Those of vmlinux and of the scenario's modules. */
	readonly kernel: ReadonlySet<string>;
	/** By livepatch: those of its own objects. */
	readonly livepatches: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Throws `SCENARIO_UNKNOWN_FUNC` for the first function that the file names and no object defines. */
export async function checkFunctions(scenario: Scenario, known: KnownFunctions, files: FileReader): Promise<void> {
	for (const { name, livepatch, position } of scenario.functions) {
		const there = livepatch === undefined ? known.kernel : known.livepatches.get(livepatch);
		if (there?.has(name)) continue;
		const whose = livepatch === undefined ? "" : ` of the livepatch '${livepatch}'`;
		const hint =
			cloneHint(name, there ?? []) ??
			(await inlinedHint(name, sourcesOf(scenario, livepatch), files)) ??
			suggest(name, "functions", [...(there ?? [])]);
		throw new KlpemuError("SCENARIO_UNKNOWN_FUNC", `unknown function '${name}'${whose}`, {
			where: whereOf(scenario.fileName, position),
			hint,
		});
	}
}

function sourcesOf(scenario: Scenario, livepatch: string | undefined): readonly SourceRef[] {
	if (livepatch !== undefined) return scenario.livepatches.get(livepatch)?.sources ?? [];
	return [...scenario.vmlinux, ...[...scenario.modules.values()].flatMap(({ sources }) => sources)];
}

/** The function is in the C, and not in what gcc has made of it. */
async function inlinedHint(
	name: string,
	sources: readonly SourceRef[],
	files: FileReader,
): Promise<string | undefined> {
	const definition = new RegExp(`\\b${name}\\s*\\([^;{}]*\\)\\s*\\{`);
	for (const { path } of sources) {
		if (!path.endsWith(".c")) continue;
		const found = await files.find(path);
		const bytes = found === undefined ? undefined : await files.read(found);
		if (bytes === undefined || !definition.test(new TextDecoder().decode(bytes))) continue;
		return (
			`${path} defines '${name}', but the object has no such function: gcc has inlined it into its callers, or left it out ` +
			"because it is static and nothing calls it; mark it noinline (__attribute__((noinline))), and __used if nothing calls it"
		);
	}
	return undefined;
}
