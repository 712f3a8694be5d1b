export { kitName, makeKit } from "./kit.js";
export { KIT_LIMITS } from "./plan.js";
