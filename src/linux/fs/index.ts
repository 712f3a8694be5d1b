export { Files } from "./files.js";
