export type { ParseOptions } from "./names.js";
export { parseScenario } from "./parse.js";
export { scenarioSchema } from "./schema.js";
