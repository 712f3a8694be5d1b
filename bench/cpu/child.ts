/** The process of one machine: node child.ts CPU [patched]; see processor.ts. */
import { hintBranches } from "../../src/node/index.js";
import { Emulated } from "./emulated.js";

hintBranches();
const emulated = await Emulated.create(process.argv[2]!, process.argv[3] === "patched");
process.on("message", (milliseconds: number) => {
	process.send!({ rows: emulated.rows(milliseconds), instructions: emulated.instructions });
});
process.send!("ready");
