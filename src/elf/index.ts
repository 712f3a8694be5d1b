export { joinDebugSections, type PlacedObject } from "./debug-sections.js";
export { linkImage } from "./image.js";
export { jumpLabelCode } from "./jump-labels.js";
export { KLP_SYMBOL, klpConvert } from "./klp-convert.js";
export { parseElf } from "./parse.js";
export { relocationBytes, relocationName, relocationSize } from "./relocate.js";
export { staticCallCode } from "./static-calls.js";
export * from "./types.js";
