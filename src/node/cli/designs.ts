import { designs } from "../../designs/index.js";
import { type Command, EXIT } from "./command.js";

interface DesignsOptions {
	readonly json: boolean;
}

const nameOf = ({ name }: { readonly name: string }) => name;

export const designsCommand: Command<DesignsOptions> = {
	positionals: [],
	options: { json: { type: "flag", help: "print a JSON array of { name, title, source, fields }" } },
	async run({ json }, _positionals, { stdout }) {
		if (json) {
			const rows = designs.map(({ name, title, source, fields }) => ({
				name,
				title,
				source,
				fields: fields.map(nameOf),
			}));
			stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
			return EXIT.ok;
		}
		for (const { name, title, source, fields } of designs) {
			stdout.write(
				`${name}\n  ${title}\n  source: ${source}\n  fields of klp_patch: ${fields.map(nameOf).join(", ") || "none"}\n`,
			);
		}
		return EXIT.ok;
	},
};
