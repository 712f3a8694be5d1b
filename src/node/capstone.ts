import type { EmscriptenLoader } from "../base/index.js";

/** The disassembler, from the package that klpemu depends on. */
export const loadCapstone: EmscriptenLoader = () => import("@alexaltea/capstone-js");
