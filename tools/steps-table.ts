import { STEPS } from "../src/scenario/index.js";

const BEGIN = "<!-- steps: written by npm run schema -->";
const END = "<!-- end of steps -->";

/** README's table of steps: one row for each definition of src/scenario/steps. */
export function stepsTable(): string {
	const rows = STEPS.map(({ doc: { form, does } }) => {
		const cells = [form.map((one) => `\`${one}\``).join(", "), does];
		return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
	});
	return ["| step | what it does |", "|---|---|", ...rows].join("\n");
}

/** README with the table as it should be. */
export function withStepsTable(readme: string): string {
	const [before, rest] = readme.split(BEGIN);
	const [, after] = (rest ?? "").split(END);
	if (before === undefined || after === undefined) throw new Error(`README lacks '${BEGIN}' or '${END}'`);
	return `${before}${BEGIN}\n\n${stepsTable()}\n\n${END}${after}`;
}
