/**
 * The parts of klpemu that need Node: files, gcc, the Cpus by name, and the host of a scenario.
 *
 * ```ts
 * import { parseScenario, runScenario } from "klpemu";
 * import { nodeHost, readText } from "klpemu/node";
 *
 * const file = "scenarios/hybrid-lp1-lp2-lp3.yaml";
 * const report = await runScenario(parseScenario(await readText(file), file), { host: nodeHost(file) });
 * ```
 *
 * @module
 */

export { loadCapstone } from "./capstone.js";
export { CFLAGS, compile, flagsFor, type ObjectOptions } from "./compile.js";
export { CPU_NAMES, createCpu, DEFAULT_CPU } from "./cpus.js";
export { assembleEngineImage, engineImage } from "./engine-image.js";
export { runExec } from "./exec-lines.js";
export { NodeFileReader, readText, writeFolder, writeInFolder } from "./files.js";
export * from "./gcc.js";
export { nodeHost } from "./host.js";
export { loadKeystone } from "./keystone.js";
export { PROJECT } from "./project.js";
export {
	type GuestArgument,
	machine,
	Session,
	type SessionLivepatch,
	type SessionOptions,
	type SessionSources,
} from "./session.js";
export { sha256 } from "./sha256.js";
export { hintBranches } from "./v8-flags.js";
