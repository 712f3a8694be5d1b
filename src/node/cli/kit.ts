import { rm } from "node:fs/promises";
import { join } from "node:path";
import { printable } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { parseScenario } from "../../scenario/index.js";
import { readText, unwritable, writeInFolder } from "../files.js";
import { kitName, makeKit } from "../kit/index.js";
import { type Command, EXIT } from "./command.js";

interface KitOptions {
	readonly out: string | undefined;
	readonly design: string | undefined;
}

const designNames = designs.map(({ name }) => name);

export const kitCommand: Command<KitOptions> = {
	positionals: [{ name: "FILE", help: "a scenario, YAML" }],
	options: {
		out: { type: "text", value: "DIR", help: "the folder to write, instead of NAME-kit" },
		design: {
			type: "text",
			value: "DESIGN",
			help: "the replace design of the kernel (default: mainline)",
			choices: () => designNames,
		},
	},
	details: [
		"Writes modules in C, a harness and run.sh: make && ./run.sh, on a machine that you can lose, makes",
		"the steps and writes transcript.txt. What a kernel cannot do is printed for each step, and is in",
		"the kit's README.md. docs/real-kernel.md says how it works.",
		"Exit status: 0 written, 2 bad input, or a scenario that no kit can run.",
		"",
		"Example:",
		"  klpemu kit scenarios/force.yaml --out force",
		"  klpemu vm force",
		"  klpemu compare scenarios/force.yaml force/transcript.txt",
	],
	async run({ out, design }, [file], { stdout }) {
		const scenario = parseScenario(await readText(file!), file!, { designs: designNames });
		const folder = out ?? `${kitName(scenario)}-kit`;
		const { files, notes } = await makeKit(scenario, design ?? "mainline");
		// Last, and not the one of an older kit: a folder without it is no kit (klpemu vm says so).
		const script = join(folder, "run.sh");
		await rm(script, { force: true }).catch((cause) => {
			throw unwritable(script, cause);
		});
		for (const [path, text] of files) if (path !== "run.sh") await writeInFolder(join(folder, path), text);
		await writeInFolder(script, files.get("run.sh")!, 0o755);
		const lines = notes.map(({ step, text }) => `  ${step === undefined ? "" : `step ${step}: `}${text}`);
		const head = lines.length === 0 ? "every step is made as the scenario says" : "what a kernel does otherwise:";
		stdout.write(printable([`${folder}: ${files.size} files; ${head}`, ...lines, ""].join("\n")));
		return EXIT.ok;
	},
};
