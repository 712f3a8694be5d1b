import { dirname, resolve } from "node:path";
import { printable } from "../base/index.js";
import type { Host } from "../scenario/index.js";
import { loadCapstone } from "./capstone.js";
import { createCpu, DEFAULT_CPU } from "./cpus.js";
import { engineImage } from "./engine-image.js";
import { NodeFileReader } from "./files.js";
import { objectFor } from "./gcc.js";

/** Where warnings go by default. */
export const toStderr = (text: string) => void process.stderr.write(`${printable(text)}\n`);

/**
 * The host of a scenario in Node: files beside the scenario file and in this package, gcc, and the Cpus by name. `warn`
 * gets the warnings of gcc.
 */
export function nodeHost(scenarioFile: string, warn: (text: string) => void = toStderr): Host {
	const folder = dirname(resolve(scenarioFile));
	return {
		files: new NodeFileReader(scenarioFile),
		async loadObject(path, options) {
			const object = await objectFor(path, { ...options, folder });
			if (object.warnings !== "") warn(object.warnings);
			return object;
		},
		engineImage,
		// Few scenarios have modules of a kernel; the rest of that folder runs tools.
		kernelLayout: async (...object) => (await import("./kernel/index.js")).kernelLayoutFor(...object),
		createCpu: (name = DEFAULT_CPU, memory) => createCpu(name, memory),
		loadCapstone,
	};
}
