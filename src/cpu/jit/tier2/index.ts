export { AccessPlan, type OpenGroups, type Where } from "./access-plan.js";
export { buildGraph } from "./graph.js";
export { DEFAULT_HEAT, type Heat, type Hot, HotSpots } from "./heat.js";
export { enoughFuel, graphKey, instructionsOf, type Node } from "./node.js";
export { Profile } from "./profile.js";
export { gateImport, translateHot } from "./translate.js";
