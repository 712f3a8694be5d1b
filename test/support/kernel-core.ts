import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type KernelCore, parseKernelCore } from "../../src/linux/klp-c/index.js";
import { buildKernelCore } from "../../src/node/kernel/index.js";
import { skipBecause } from "./skip.js";

const CACHE = ".cache/test-core";
/** What a core depends on, beside the kernel. */
const SOURCES = ["asm/kernel-env", "src/node/kernel"];

async function key(): Promise<string> {
	const hash = createHash("sha256");
	for (const folder of SOURCES) {
		for (const name of (await readdir(folder)).sort()) hash.update(name).update(await readFile(join(folder, name)));
	}
	for (const name of (await readdir("/usr/src").catch(() => [])).sort()) hash.update(name);
	return hash.digest("hex").slice(0, 16);
}

/** The file of a core built from the installed kernel packages; built once, and again when asm/kernel-env changes. */
export async function kernelCoreFile(skip: (note?: string) => never): Promise<string> {
	const file = join(CACHE, `${await key()}.klpcore`);
	if ((await readFile(file).catch(() => undefined)) !== undefined) return file;
	const built = await buildKernelCore({}).catch((error: Error & { code?: string }) => {
		if (error.code !== "HEADERS_MISSING" && error.code !== "SOURCE_MISSING" && error.code !== "TOOL_MISSING")
			throw error;
		return skipBecause(skip, `${error.message}: apt-get install linux-source-6.12 linux-headers-6.12-cloud-amd64`);
	});
	await mkdir(CACHE, { recursive: true });
	await writeFile(`${file}.${process.pid}`, built.bytes);
	await rename(`${file}.${process.pid}`, file);
	return file;
}

/** The same, parsed. */
export async function kernelCore(skip: (note?: string) => never): Promise<KernelCore> {
	const file = await kernelCoreFile(skip);
	return parseKernelCore(await readFile(file), file);
}
