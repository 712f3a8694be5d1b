/** Modules that are compiled with the installed kernel headers, by the kernel's own build, and machines that load them. */
import type { TestContext } from "vitest";
import { type ElfObject, parseElf } from "../../src/elf/index.js";
import type { KernelLayout } from "../../src/linux/lib/index.js";
import { CPU_NAMES } from "../../src/node/index.js";
import { buildModules, installedHeaders, kernelLayoutFor, PLACES } from "../../src/node/kernel/index.js";
import { kernelCore } from "./kernel-core.js";
import { createTestMachine, type TestMachine } from "./machine.js";
import { KERNEL_KO, skipBecause } from "./skip.js";

/** Each Cpu with each livepatch core. */
export const CPUS_AND_CORES = CPU_NAMES.flatMap((cpu) =>
	["TypeScript", "compiled"].map((core) => [cpu, core] as const),
);

export class HeaderModules {
	#layout: KernelLayout | undefined = undefined;
	#modules: ReadonlyMap<string, ElfObject> = new Map();
	/** Why there are none. */
	#missing = "";

	/** `sources`: C, by the name of its module. */
	async build(sources: Readonly<Record<string, string>>): Promise<void> {
		try {
			const headers = await installedHeaders(PLACES);
			this.#layout = await kernelLayoutFor(headers.release, `${KERNEL_KO}/${Object.keys(sources)[0]}.ko`);
			const built = await buildModules(headers, new Map(Object.entries(sources)));
			this.#modules = new Map([...built].map(([name, bytes]) => [name, parseElf(bytes, `${name}.ko`)]));
		} catch (error) {
			this.#missing = `modules cannot be built here: ${String(error)}`;
		}
	}

	/** Skips the test where they cannot be built. */
	async machine([cpu, core]: (typeof CPUS_AND_CORES)[number], skip: TestContext["skip"]): Promise<TestMachine> {
		if (this.#missing !== "") skipBecause(skip, this.#missing);
		const kernel = core === "compiled" ? { core: await kernelCore(skip) } : { kernelLayout: this.#layout! };
		return createTestMachine({ cpu, kernel: true, cpus: 2, ...kernel });
	}

	get(name: string): ElfObject {
		return this.#modules.get(name)!;
	}
}
