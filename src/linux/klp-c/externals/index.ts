/** The kernel functions that the core calls and that asm/kernel-env does not have in C, a file for each part of the kernel. */
export { CoreFtrace } from "./ftrace.js";
export { type Attribute, CoreKobjects } from "./kobjects.js";
export { CoreMemory } from "./memory.js";
export { moduleFunctions } from "./modules.js";
export { CoreScheduler } from "./tasks.js";
export { type Output, textFunctions } from "./text.js";
export { workFunctions } from "./works.js";
