import { KlpemuError } from "../base/index.js";
import type { Cpu } from "../cpu/index.js";
import type { Memory } from "../memory/index.js";

/** The known processors; the first is the default. */
export const CPU_NAMES = ["jit", "unicorn"] as const;
export const DEFAULT_CPU = CPU_NAMES[0];

/** Makes a processor by name. Throws `UNKNOWN_CPU`, or `CPU_UNICORN_MISSING` if Unicorn is not installed. */
export async function createCpu(name: string, memory: Memory): Promise<Cpu> {
	switch (name) {
		case "jit":
			return new (await import("../cpu/jit/index.js")).JitCpu(memory);
		case "unicorn":
			return (await import("./unicorn/index.js")).createUnicornCpu(memory);
		default:
			throw new KlpemuError("UNKNOWN_CPU", `there is no Cpu '${name}'`, { hint: `Cpus: ${CPU_NAMES.join(", ")}` });
	}
}
