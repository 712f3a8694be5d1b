export { runCli } from "./app.js";
export type { Command, Io, Output } from "./command.js";
export { commands } from "./commands.js";
export { commandHelp } from "./help.js";
