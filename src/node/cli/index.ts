export { runCli } from "./app.js";
export { type Command, EXIT, type Io, type Output } from "./command.js";
export { commands } from "./commands.js";
export { commandHelp } from "./help.js";
