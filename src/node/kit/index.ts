export { kitName, makeKit } from "./kit.js";
