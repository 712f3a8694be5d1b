/** The kernel's own livepatch code, compiled: the file that `klpemu kernel build` makes of it, and the layout of its kernel. */

export { KernelLayout } from "../lib/index.js";
export { CompiledLivepatch, type CompiledParts } from "./compiled.js";
export type { CoreImage } from "./core-image.js";
export { type LinkedCore, linkCore } from "./link.js";
export {
	CORE_FORMAT,
	INFO_SECTION,
	type KernelCore,
	type KernelCoreInfo,
	type KernelLayoutFile,
	LAYOUT_SECTION,
	layoutFileOf,
	parseKernelCore,
	parseKernelLayout,
} from "./object.js";
