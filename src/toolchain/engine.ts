import { readFile } from "node:fs/promises";
import type { EngineAssembly } from "./assemble.js";

/** The assembly of the engine itself, from the package's asm/. Node only. */
export async function engineAssembly(): Promise<EngineAssembly> {
	const read = (name: string) => readFile(new URL(`../../asm/${name}`, import.meta.url), "utf8");
	return { entry: await read("entry_64.S"), ftrace: await read("ftrace_64.S"), ops: await read("ftrace_ops.S") };
}
