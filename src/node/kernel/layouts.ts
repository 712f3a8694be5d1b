import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { KlpemuError } from "../../base/index.js";
import { type KernelLayout, parseKernelCore, parseKernelLayout } from "../../linux/klp-c/index.js";
import { PROJECT } from "../project.js";

/** Layout files of klpemu: one for each kernel. */
const COMMITTED = join(PROJECT, "asm", "kernel-layouts");

/** The layout files, and the kernel core files, of a folder. */
async function layoutsIn(folder: string): Promise<KernelLayout[]> {
	const names = await readdir(folder).catch(() => []);
	const layouts = names.sort().map(async (name) => {
		const file = join(folder, name);
		if (name.endsWith(".klpcore")) return parseKernelCore(new Uint8Array(await readFile(file)), file).layout;
		const isLayout = folder === COMMITTED ? name.endsWith(".json") : name === LAYOUT_FILE;
		return isLayout ? parseKernelLayout(await readFile(file, "utf8"), file) : undefined;
	});
	return (await Promise.all(layouts)).filter((layout) => layout !== undefined);
}

/** A layout file beside .ko files. */
export const LAYOUT_FILE = "kernel-layout.json";

/**
 * The layout of the kernel that a .ko was made for: that of klpemu, or one beside the .ko (`kernel-layout.json`, a kernel core file
 * `*.klpcore`). Throws `KERNEL_LAYOUT` with the releases that there are.
 */
export async function kernelLayoutFor(release: string, ko: string): Promise<KernelLayout> {
	const layouts = [...(await layoutsIn(COMMITTED)), ...(await layoutsIn(dirname(ko)))];
	const found = layouts.find((layout) => layout.release === release);
	if (found !== undefined) return found;
	const known = [...new Set(layouts.map((layout) => layout.release))].join(", ");
	throw new KlpemuError(
		"KERNEL_LAYOUT",
		`the module is of Linux ${release}, whose layout is not known (known: ${known})`,
		{
			where: ko,
			hint: `klpemu kernel build --headers DIR --out ${join(dirname(ko), `${release}.klpcore`)} makes it of that kernel's headers`,
		},
	);
}
