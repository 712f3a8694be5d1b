export type { LivepatchInput, ScenarioInput, TaskInput } from "./input.js";
export type { ParseOptions } from "./names.js";
export { DEFAULTS } from "./normalise.js";
export { parseScenario, type ReadDocument, readDocument } from "./parse.js";
export { scenarioSchema } from "./schema.js";
