import { readFile } from "node:fs/promises";
import { type KernelCore, parseKernelCore } from "../../src/linux/klp-c/index.js";
import { KERNEL_CORE, NO_KERNEL_CORE, skipBecause } from "./skip.js";

/** The core of the installed kernel packages, as npm run build:kernel-core makes it. */
export async function kernelCore(skip: (note?: string) => never): Promise<KernelCore> {
	const bytes = await readFile(KERNEL_CORE).catch(() => skipBecause(skip, NO_KERNEL_CORE));
	return parseKernelCore(bytes, KERNEL_CORE);
}
