import { readFile } from "node:fs/promises";

/** The assembly of the engine itself, from the package's asm/. Node only. */
export async function engineAssembly(): Promise<{ entry: string; ftrace: string }> {
	const read = (name: string) => readFile(new URL(`../../asm/${name}`, import.meta.url), "utf8");
	return { entry: await read("entry_64.S"), ftrace: await read("ftrace_64.S") };
}
