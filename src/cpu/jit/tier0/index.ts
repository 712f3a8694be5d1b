export { Interpreter, straight } from "./interpreter.js";
export { FormLibrary } from "./library.js";
