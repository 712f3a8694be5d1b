export { KlpemuError } from "./errors.js";
export { Random } from "./random.js";
export { nearest, suggest } from "./suggest.js";
