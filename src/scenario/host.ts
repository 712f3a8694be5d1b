import type { EngineImage } from "../assemble/index.js";
import type { EmscriptenLoader } from "../base/index.js";
import type { Cpu } from "../cpu/index.js";
import type { KernelLayout } from "../linux/klp-c/index.js";
import type { Memory } from "../memory/index.js";
import type { FileReader } from "./types.js";

/** Compiles a source, or reads an object: `.c`, `.S`, `.o` or `.ko` by its path. */
export type ObjectLoader = (
	path: string,
	options: { readonly ibt: boolean },
) => Promise<{ bytes: Uint8Array; fileName: string }>;

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
	/** The layout of the kernel that a .ko, by its path, was made for. Throws if there is none. Undefined: this host has no layouts. */
	readonly kernelLayout?: ((release: string, ko: string) => Promise<KernelLayout>) | undefined;
	/** Makes a Cpu by name; undefined: the host's default. */
	createCpu(name: string | undefined, memory: Memory): Cpu | Promise<Cpu>;
	/** Capstone, for `traceInsns`. */
	readonly loadCapstone: EmscriptenLoader;
}
