import type { CampaignReport, CampaignRow } from "./report.js";

const HEAD = ["scenario", "under", "verdict", "expected", "invariant", "states"];

function cellsOf({ scenario, variant, verdict, asExpected, mutant, invariant, states }: CampaignRow): string[] {
	const expected = mutant || asExpected === null ? "-" : asExpected ? "yes" : "NO";
	return [nameOf(scenario), variant, verdict, expected, invariant ?? "-", String(states)];
}

function nameOf(scenario: string): string {
	return scenario.replace(/^.*\//, "").replace(/\.ya?ml$/, "");
}

/** The report as text: the table, then what is not as expected, in sentences. */
export function campaignText(report: CampaignReport): string {
	const cells = report.rows.map(cellsOf);
	const widths = HEAD.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column]!.length)));
	const line = (row: readonly string[]) =>
		row
			.map((cell, column) => (column < 5 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
			.join("  ")
			.trimEnd();
	const lines = [report.title, "", line(HEAD), ...cells.map(line)];
	const told = report.rows.filter(
		(row) => row.message !== null && (row.asExpected !== true || row.verdict === "violated"),
	);
	if (told.length > 0) lines.push("");
	for (const { scenario, variant, invariant, message } of told) {
		lines.push(`${nameOf(scenario)}, ${variant}:${invariant === null ? "" : ` ${invariant}:`} ${message}`);
	}
	const mutants = Object.entries(report.mutants);
	if (mutants.length > 0) {
		const missed = mutants.filter(([, scenario]) => scenario === null).map(([name]) => name);
		lines.push("", `mutants: ${mutants.length - missed.length} of ${mutants.length} break something`);
		for (const [name, scenario] of mutants) if (scenario !== null) lines.push(`  ${name}: ${nameOf(scenario)}`);
		if (missed.length > 0) lines.push(`  nothing found for ${missed.join(", ")}`);
	}
	const count = (verdict: CampaignRow["verdict"]) => report.rows.filter((row) => row.verdict === verdict).length;
	if (count("bounded") > 0)
		lines.push("", "bounded: not all states were seen, so that nothing is said about the others.");
	if (count("open") > 0) lines.push("", `stopped: ${count("open")} of ${report.rows.length} have no result yet.`);
	return `${lines.join("\n")}\n`;
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border: 1px solid #8886; padding: 0.3rem 0.7rem; text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: Canvas; }
.yes { background: light-dark(#dcefdc, #17391b); }
.no { background: light-dark(#f8d4d0, #5a1a14); font-weight: 600; }
.unknown { background: light-dark(#f3ecd0, #3d3413); }
dt { font-weight: 600; }
pre { overflow-x: auto; }`;

/** The report as one page, which needs nothing else: a row for each scenario, a column for each design and kernel. */
export function campaignHtml(report: CampaignReport): string {
	const scenarios = [...new Set(report.rows.map(({ scenario }) => scenario))];
	const variants = [...new Set(report.rows.map(({ variant }) => variant))];
	const at = new Map(report.rows.map((row) => [JSON.stringify([row.scenario, row.variant]), row]));
	const cell = (row: CampaignRow | undefined) => {
		if (row === undefined) return "<td></td>";
		const kind = row.asExpected === null ? "unknown" : row.asExpected || row.mutant ? "yes" : "no";
		const more = row.invariant ?? (row.verdict === "complete" ? `${row.states} states` : "");
		return `<td class="${kind}">${escaped(row.verdict)}${more === "" ? "" : `<br><small>${escaped(more)}</small>`}</td>`;
	};
	const rows = scenarios.map(
		(scenario) =>
			`<tr><th scope="row">${escaped(scenario)}</th>${variants
				.map((variant) => cell(at.get(JSON.stringify([scenario, variant]))))
				.join("")}</tr>`,
	);
	const told = report.rows
		.filter(({ message }) => message !== null)
		.map((row) => {
			const schedule =
				row.schedule === null
					? ""
					: `<details><summary>the schedule, for klpemu replay</summary><pre>${escaped(row.schedule)}</pre></details>`;
			return `<dt>${escaped(row.scenario)}, ${escaped(row.variant)}</dt><dd>${escaped(row.message!)}${schedule}</dd>`;
		});
	return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(report.title)}</title>
<style>${STYLE}</style>
<h1>${escaped(report.title)}</h1>
<div class="wide"><table>
<thead><tr><th scope="col">scenario</th>${variants.map((name) => `<th scope="col">${escaped(name)}</th>`).join("")}</tr></thead>
<tbody>
${rows.join("\n")}
</tbody></table></div>
<p>Green: as the scenario says. Red: not so. Yellow: not all is known.</p>
<dl>
${told.join("\n")}
</dl>
</html>
`;
}

function escaped(text: string): string {
	const names: Readonly<Record<string, string>> = {
		"&": "&amp;",
		"<": "&lt;",
		">": "&gt;",
		'"': "&quot;",
		"'": "&#39;",
	};
	return text.replace(/[&<>"']/g, (one) => names[one]!);
}
