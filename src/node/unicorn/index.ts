import { KlpemuError } from "../../base/index.js";
import { UnicornCpu } from "../../cpu/unicorn/index.js";
import type { Memory } from "../../memory/index.js";
import { koffiEngine } from "./koffi.js";
import { unicornJsEngine } from "./unicorn-js.js";

/** The reference Cpu. Throws `CPU_UNICORN_MISSING` if no Unicorn is installed. */
export async function createUnicornCpu(memory: Memory): Promise<UnicornCpu> {
	const engine = (await unicornJsEngine()) ?? (await koffiEngine());
	if (engine === undefined) {
		throw new KlpemuError("CPU_UNICORN_MISSING", "the Cpu 'unicorn' needs Unicorn 2, which is not installed", {
			hint: "npm install @alexaltea/unicorn-js, or apt-get install -y libunicorn2 (and npm install koffi)",
		});
	}
	return new UnicornCpu(memory, engine);
}

export { koffiEngine } from "./koffi.js";
export { unicornJsEngine } from "./unicorn-js.js";
