import type { Host } from "../scenario/index.js";
import { loadCapstone } from "./capstone.js";
import { createCpu, DEFAULT_CPU } from "./cpus.js";
import { engineImage } from "./engine-image.js";
import { NodeFileReader } from "./files.js";
import { objectFor } from "./gcc.js";

/** The host of a scenario in Node: files beside the scenario file and in this package, gcc, and the Cpus by name. */
export function nodeHost(scenarioFile: string): Host {
	return {
		files: new NodeFileReader(scenarioFile),
		loadObject: objectFor,
		engineImage,
		createCpu: (name = DEFAULT_CPU, memory) => createCpu(name, memory),
		loadCapstone,
	};
}
