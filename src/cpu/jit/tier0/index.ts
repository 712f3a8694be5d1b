export { Interpreter, straight } from "./interpreter.js";
export { FormLibrary } from "./library.js";
export { prebuilt } from "./prebuilt.js";
