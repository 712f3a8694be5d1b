import type { EngineImage } from "../assemble/index.js";
import type { EmscriptenLoader } from "../base/index.js";
import type { Cpu } from "../cpu/index.js";
import type { Memory } from "../memory/index.js";
import type { ObjectLoader } from "./load.js";
import type { FileReader } from "./types.js";

/**
 * Services that scenarios need from the program that runs them: a web page, a worker, or Node (`nodeHost()` of
 * klpemu/node).
 */
export interface Host {
	/** The files that the scenario names. */
	readonly files: FileReader;
	readonly loadObject: ObjectLoader;
	/** The engine's own assembly. */
	engineImage(): Promise<EngineImage>;
	/** Makes a Cpu by name; undefined: the host's default. */
	createCpu(name: string | undefined, memory: Memory): Cpu | Promise<Cpu>;
	/** Capstone, for `traceInsns`. */
	readonly loadCapstone: EmscriptenLoader;
}
