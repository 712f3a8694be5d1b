export type { InputFile } from "./against.js";
export { type CheckOptions, checkModule } from "./check.js";
export { CHAPTERS, KINDS, type Kind, type KindName, type Weight } from "./kinds.js";
export type { CheckReport, Finding, FuncReport, ObjectReport, PatchReport, Place } from "./types.js";
