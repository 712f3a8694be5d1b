export { buildGraph, type Node } from "./graph.js";
export { HEAT, type Hot, HotSpots } from "./heat.js";
export { Profile } from "./profile.js";
export { enoughFuel, gateImport, graphKey, instructionsOf, translateHot } from "./translate.js";
