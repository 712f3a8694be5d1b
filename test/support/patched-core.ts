import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KernelCore, parseKernelCore } from "../../src/linux/klp-c/index.js";
import {
	buildKernelCore,
	type Headers,
	installedHeaders,
	PLACES,
	sourceFor,
	unpack,
} from "../../src/node/kernel/index.js";
import { diffOf, type SourceEdit } from "../../tools/source-edits.js";
import { skipBecause } from "./skip.js";

/** Cores with changes of the kernel's source. It is unpacked once, for all of them. */
export class PatchedCores {
	#folder = "";
	#headers: Headers | undefined;
	#missing = "";

	async open(): Promise<void> {
		this.#folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
		try {
			const headers = await installedHeaders(PLACES);
			await mkdir(this.#tree);
			await unpack(await sourceFor(headers, PLACES), headers, ["include/linux/livepatch.h"], this.#tree);
			this.#headers = headers;
		} catch (error) {
			this.#missing = `klpemu kernel build cannot run here: ${String(error)}`;
		}
	}

	close(): Promise<void> {
		return rm(this.#folder, { recursive: true });
	}

	get #tree(): string {
		return join(this.#folder, "tree");
	}

	/** The file of a core that was built. */
	file(name: string): string {
		return join(this.#folder, `${name}.klpcore`);
	}

	/** `name`: of the patch. */
	async build(name: string, edits: readonly SourceEdit[], skip: (note?: string) => never): Promise<KernelCore> {
		if (this.#headers === undefined) skipBecause(skip, this.#missing);
		const patch = join(this.#folder, `${name}.patch`);
		await writeFile(patch, diffOf(this.#tree, edits));
		const built = await buildKernelCore({ headers: this.#headers.folder, source: this.#tree, patches: [patch] });
		await writeFile(this.file(name), built.bytes);
		return parseKernelCore(built.bytes, name);
	}
}
