import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type EngineAssembly, type PrebuiltAssembly, usePrebuilt } from "../assemble/index.js";
import { PROJECT } from "./project.js";

let prebuilt: Promise<void> | undefined;

/**
 * The assembly of the engine itself, from the package's asm/. What `npm run build:objects` assembled of it is taken over, so
 * that Keystone is loaded only for sources that have changed since. Node only.
 */
export async function engineAssembly(): Promise<EngineAssembly> {
	const read = (name: string) => readFile(join(PROJECT, "asm", name), "utf8");
	prebuilt ??= read("prebuilt/assembly.json").then((text) => usePrebuilt(JSON.parse(text) as PrebuiltAssembly[]));
	await prebuilt;
	return { entry: await read("entry_64.S"), ftrace: await read("ftrace_64.S"), ops: await read("ftrace_ops.S") };
}
