export { linkImage } from "./image.js";
export { parseElf } from "./parse.js";
export { relocationName } from "./relocate.js";
export * from "./types.js";
