import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { KlpemuError } from "../../base/index.js";
import { type KernelLayout, parseKernelCore, parseKernelLayout } from "../../linux/klp-c/index.js";
import { PROJECT } from "../project.js";

/** Layout files of klpemu: one for each kernel. */
const COMMITTED = join(PROJECT, "asm", "kernel-layouts");

interface Layouts {
	readonly layouts: readonly KernelLayout[];
	/** Files that cannot be read: why. */
	readonly damaged: readonly KlpemuError[];
}

/** The layout files, and the kernel core files, of a folder. */
async function layoutsIn(folder: string): Promise<Layouts> {
	const names = await readdir(folder).catch(() => []);
	const layouts: KernelLayout[] = [];
	const damaged: KlpemuError[] = [];
	for (const name of names.sort()) {
		const file = join(folder, name);
		const isLayout = folder === COMMITTED ? name.endsWith(".json") : name === LAYOUT_FILE;
		try {
			if (name.endsWith(".klpcore")) {
				layouts.push(parseKernelCore(new Uint8Array(await readFile(file)), file).layout);
			} else if (isLayout) layouts.push(parseKernelLayout(await readFile(file, "utf8"), file));
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			damaged.push(error);
		}
	}
	return { layouts, damaged };
}

/** A layout file beside .ko files. */
export const LAYOUT_FILE = "kernel-layout.json";

/**
 * The layout of the kernel that a .ko was made for: that of klpemu, or one beside the .ko (`kernel-layout.json`, a kernel core file
 * `*.klpcore`). `tell` is told of files beside it that are damaged. Throws `KERNEL_LAYOUT` with the releases that there are.
 */
export async function kernelLayoutFor(
	release: string,
	ko: string,
	tell: (damaged: KlpemuError) => void = () => {},
): Promise<KernelLayout> {
	const of = ({ layouts }: Layouts) => layouts.find((layout) => layout.release === release);
	const own = await layoutsIn(COMMITTED);
	const committed = of(own);
	if (committed !== undefined) return committed;
	const beside = await layoutsIn(dirname(ko));
	for (const error of beside.damaged) tell(error);
	const found = of(beside);
	if (found !== undefined) return found;
	const known = [...new Set([...own.layouts, ...beside.layouts].map((layout) => layout.release))].join(", ");
	const damaged = [...own.damaged, ...beside.damaged].map(({ where, reason }) => `; left out: ${where}: ${reason}`);
	throw new KlpemuError(
		"KERNEL_LAYOUT",
		`the module is of Linux ${release}, whose layout is not known (known: ${known})${damaged.join("")}`,
		{
			where: ko,
			hint: `klpemu kernel build --headers DIR --out ${join(dirname(ko), `${release}.klpcore`)} makes it of that kernel's headers`,
		},
	);
}
