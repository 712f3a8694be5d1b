import { printableJson } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { type Command, EXIT } from "./command.js";
import { columnsOf, foldTo } from "./fold.js";

interface DesignsOptions {
	readonly json: boolean;
}

const nameOf = ({ name }: { readonly name: string }) => name;

export const designsCommand: Command<DesignsOptions> = {
	positionals: [],
	options: {
		json: { type: "flag", help: "print a JSON array of { name, title, source, fields, funcFields, foreign }" },
	},
	async run({ json }, _positionals, io) {
		const { stdout } = io;
		if (json) {
			const rows = designs.map(({ name, title, source, fields, funcFields = [], foreign = {} }) => ({
				...{ name, title, source, fields: fields.map(nameOf), funcFields: funcFields.map(nameOf), foreign },
			}));
			stdout.write(`${printableJson(rows)}\n`);
			return EXIT.ok;
		}
		for (const { name, title, source, fields, funcFields = [], foreign = {} } of designs) {
			const lines = [title, `source: ${source}`, `fields of klp_patch: ${fields.map(nameOf).join(", ") || "none"}`];
			if (funcFields.length > 0) lines.push(`fields of klp_func: ${funcFields.map(nameOf).join(", ")}`);
			for (const [key, of] of Object.entries(foreign)) {
				lines.push("unread" in of ? `does not read ${key}: ${of.unread}` : `instead of ${key} it needs ${of.write}`);
			}
			const text = [name, ...lines.map((line) => `  ${line}`)].join("\n");
			stdout.write(`${foldTo(text, columnsOf(io))}\n`);
		}
		return EXIT.ok;
	},
};
