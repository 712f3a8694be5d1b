import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KernelCore, parseKernelCore } from "../../src/linux/klp-c/index.js";
import { buildIn, type Headers, installedHeaders, PLACES, readPatch, unpack } from "../../src/node/kernel/index.js";
import { diffOf, type SourceEdit } from "../../tools/source-edits.js";
import { KERNEL_SOURCE, skipBecause } from "./skip.js";

/** With the times of files, by which make goes. */
const copy = (from: string, to: string) => cp(from, to, { recursive: true, preserveTimestamps: true });

/**
 * Cores with changes of the kernel's source. What a change leaves as it is was compiled once, for all of them: each core is made of a copy of
 * the folder in which the unchanged one was made, at the same path, as Kbuild wants it.
 */
export class PatchedCores {
	#folder = "";
	#headers: Headers | undefined;
	#missing = "";

	async open(): Promise<void> {
		this.#folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
		let headers: Headers;
		try {
			headers = await installedHeaders(PLACES);
			await mkdir(this.#work);
			await unpack({ path: KERNEL_SOURCE, packed: false }, headers, ["include/linux/livepatch.h"], this.#work);
		} catch (error) {
			this.#missing = `klpemu kernel build cannot run here (npm run build:kernel unpacks the source): ${String(error)}`;
			return;
		}
		await buildIn(this.#work, headers, []);
		await copy(this.#work, this.#unchanged);
		this.#headers = headers;
	}

	close(): Promise<void> {
		return rm(this.#folder, { recursive: true });
	}

	get #unchanged(): string {
		return join(this.#folder, "unchanged");
	}

	get #work(): string {
		return join(this.#folder, "work");
	}

	/** The file of a core that was built. */
	file(name: string): string {
		return join(this.#folder, `${name}.klpcore`);
	}

	/** `name`: of the patch. */
	async build(name: string, edits: readonly SourceEdit[], skip: (note?: string) => never): Promise<KernelCore> {
		if (this.#headers === undefined) skipBecause(skip, this.#missing);
		const patch = join(this.#folder, `${name}.patch`);
		await writeFile(patch, diffOf(this.#unchanged, edits));
		await rm(this.#work, { recursive: true });
		await copy(this.#unchanged, this.#work);
		const { bytes } = await buildIn(this.#work, this.#headers, [await readPatch(patch)]);
		await writeFile(this.file(name), bytes);
		return parseKernelCore(bytes, name);
	}
}
