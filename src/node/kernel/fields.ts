import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * Brings the layout to the structs of a livepatch as a patch has left them: entries of fields that it has removed go, and those of new
 * fields are in `fields.h`.
 */
export async function fitLayout(folder: string): Promise<void> {
	const header = await readFile(join(folder, "include/linux/livepatch.h"), "utf8").catch(() => "");
	const place = join(folder, "klpemu/layout.c");
	let layout = await readFile(place, "utf8");
	const added: string[] = [];
	for (const struct of ["klp_patch", "klp_object", "klp_func", "klp_state"]) {
		const body = new RegExp(`^struct ${struct} \\{\\n(.*?)^\\};`, "ms").exec(header)?.[1];
		if (body === undefined) continue;
		const members = membersOf(body);
		layout = layout.replace(new RegExp(`FIELD\\(${struct}, (\\w+)\\),`, "g"), (entry, member: string) => {
			return members.includes(member) ? entry : "";
		});
		const entries = members.map((member) => `FIELD(${struct}, ${member}),`);
		added.push(...entries.filter((entry) => !layout.includes(entry)));
	}
	await writeIfOther(place, layout);
	await writeIfOther(join(folder, "klpemu/fields.h"), added.map((line) => `${line}\n`).join(""));
}

/** make compiles again what includes a file that was written. */
async function writeIfOther(path: string, text: string): Promise<void> {
	if ((await readFile(path, "utf8").catch(() => undefined)) !== text) await writeFile(path, text);
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
