import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withTemporaryFolder } from "../temporary.js";
import type { Headers } from "./headers.js";
import { make } from "./tools.js";

/**
 * Compiles modules by the kernel's own build: sources by module name, to .ko files whose debug information is the lines of the source. Throws
 * `KBUILD_FAILED`, `TOOL_*`.
 */
export async function buildModules(
	headers: Headers,
	sources: ReadonlyMap<string, string>,
): Promise<Map<string, Uint8Array>> {
	return withTemporaryFolder(async (folder) => {
		const names = [...sources.keys()];
		for (const [name, text] of sources) await writeFile(join(folder, `${name}.c`), text);
		const maps = ["$(src)", "$(srctree)", "$(CURDIR)"].flatMap((path) => [
			`-fdebug-prefix-map=${path}/=`,
			`-fdebug-prefix-map=${path}=.`,
		]);
		const prefix = `ccflags-y += -fmacro-prefix-map=$(src)/= -g1 -gno-column-info ${maps.join(" ")}`;
		await writeFile(join(folder, "Kbuild"), `obj-m := ${names.map((name) => `${name}.o`).join(" ")}\n${prefix}\n`);
		const variables = [`M=${folder}`, "CONFIG_DEBUG_INFO=", "CONFIG_DEBUG_INFO_BTF_MODULES="];
		await make(folder, headers.folder, variables, ["modules"]);
		const built = new Map<string, Uint8Array>();
		for (const name of names) built.set(name, await readFile(join(folder, `${name}.ko`)));
		return built;
	});
}
