/** The process of one emulated Cpu; see processor.ts. */
import { Emulated } from "./emulated.js";

const emulated = await Emulated.create(process.argv[2]!);
process.on("message", (milliseconds: number) => {
	process.send!({ rows: emulated.rows(milliseconds), instructions: emulated.instructions });
});
process.send!("ready");
