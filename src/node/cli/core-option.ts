import { KlpemuError } from "../../base/index.js";
import { type KernelCore, parseKernelCore } from "../../linux/klp-c/index.js";
import { readIfThere } from "../files.js";
import type { TextOption } from "./command.js";

/** --core of the commands that run a machine. */
export const coreOption: TextOption = {
	type: "text",
	value: "FILE",
	help: "the kernel's own livepatch code (klpemu kernel build), not klpemu's",
};

/** Reads the file of --core; undefined without one. Throws `FILE_MISSING`, `CORE_FORMAT`, `CLI_BAD_ARGUMENT`. */
export async function readCore(
	command: string,
	file: string | undefined,
	design: string | undefined,
): Promise<KernelCore | undefined> {
	if (file === undefined) return undefined;
	if (design !== undefined) {
		throw new KlpemuError("CLI_BAD_ARGUMENT", "--core and --design exclude each other", {
			where: `klpemu ${command}`,
			hint: "the C of a kernel core has its own rules for replacing livepatches; another design is another C: klpemu kernel build --patch",
		});
	}
	const bytes = await readIfThere(file);
	if (bytes === undefined) {
		throw new KlpemuError("FILE_MISSING", `there is no file '${file}'`, {
			hint: "klpemu kernel build makes a kernel core",
		});
	}
	return parseKernelCore(bytes, file);
}
