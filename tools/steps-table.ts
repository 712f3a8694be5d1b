import { STEPS } from "../src/scenario/index.js";

/** The table of steps of docs/reference.md: one row for each definition of src/scenario/steps. */
export function stepsTable(): string {
	const rows = STEPS.map(({ doc: { form, does } }) => {
		const cells = [form.map((one) => `\`${one}\``).join(", "), does];
		return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
	});
	return ["| step | what it does |", "|---|---|", ...rows].join("\n");
}
