import { printable } from "../../base/index.js";
import { Disassembler, disasmObject } from "../../disasm/index.js";
import { loadCapstone } from "../capstone.js";
import { objectFor } from "../gcc.js";
import { type Command, EXIT } from "./command.js";

interface DisasmOptions {
	readonly ibt: boolean;
}

export const disasmCommand: Command<DisasmOptions> = {
	positionals: [{ name: "OBJECT", help: "a relocatable object (.o), or a source (.c, .S) to compile" }],
	options: { ibt: { type: "flag", help: "compile a source with endbr64 at the start of each function" } },
	async run({ ibt }, [path], { stdout }) {
		const { bytes, fileName } = await objectFor(path!, { ibt });
		stdout.write(printable(disasmObject(bytes, fileName, await Disassembler.create(loadCapstone))));
		return EXIT.ok;
	},
};
