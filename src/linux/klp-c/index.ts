/** The kernel's own livepatch code, compiled: the file that `klpemu kernel build` makes of it, and the layout of its kernel. */
export { CompiledLivepatch } from "./compiled.js";
export { KernelLayout } from "./layout.js";
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
