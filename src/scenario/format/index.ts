export type { ParseOptions } from "./normalise.js";
export { parseScenario } from "./parse.js";
export { STEP_VALUES, scenarioSchema } from "./schema.js";
