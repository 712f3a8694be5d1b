import type * as v from "valibot";
import type { scenarioSchema } from "./schema.js";

/** A scenario as a value: the keys of a scenario file. */
export type ScenarioInput = v.InferInput<typeof scenarioSchema>;
/** The keys of one of `livepatches`. */
export type LivepatchInput = NonNullable<ScenarioInput["livepatches"]>[string];
/** The keys of one of `tasks`. */
export type TaskInput = NonNullable<ScenarioInput["tasks"]>[string];
