import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** Lines for the layout: fields that a patch has added to the structs of a livepatch. */
export async function addedFields(folder: string): Promise<string> {
	const header = await readFile(join(folder, "include/linux/livepatch.h"), "utf8").catch(() => "");
	const layout = await readFile(join(folder, "klpemu/layout.c"), "utf8");
	const lines = ["klp_patch", "klp_object", "klp_func", "klp_state"].flatMap((struct) => {
		const body = new RegExp(`^struct ${struct} \\{\\n(.*?)^\\};`, "ms").exec(header)?.[1] ?? "";
		return membersOf(body).map((member) => `FIELD(${struct}, ${member}),`);
	});
	return lines
		.filter((line) => !layout.includes(line))
		.map((line) => `${line}\n`)
		.join("");
}

/** Names of the members in the body of a struct, without bit-fields: `unsigned long old_size, new_size;`, `int (*call)(void);`. */
function membersOf(body: string): string[] {
	const declarations = body.replace(/\/\*.*?\*\/|\/\/[^\n]*|^#[^\n]*/gms, "").split(";");
	return declarations.flatMap((declaration) => {
		const pointer = /\(\*\s*(\w+)\s*\)/.exec(declaration)?.[1];
		if (pointer !== undefined) return [pointer];
		return declaration.split(",").flatMap((part) => /(\w+)\s*(?:\[[^\]]*\]\s*)?$/.exec(part.trim())?.[1] ?? []);
	});
}
