/** The report as one HTML file without other files: tables, and plots by uPlot. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import ts from "typescript";
import type { BenchReport } from "../common/index.js";
import type { Changes } from "../compare.js";
import { barsSvg } from "./bars.js";
import { type Section, sections, type Table } from "./sections.js";
import { changeTable } from "./text.js";

export async function renderPage(report: BenchReport, changes?: Changes): Promise<string> {
	const plots = join(createRequire(import.meta.url).resolve("uplot"), "..");
	const local = (name: string) => readFile(new URL(name, import.meta.url), "utf8");
	const script = ts.transpileModule(await local("client.ts"), {
		compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
	}).outputText;
	const all = sections(report);
	// Curves are drawn by uPlot, in the page; bars and dots are drawn here.
	const charts = all.flatMap((section) => section.charts).filter(({ kind }) => kind === "lines");
	const styles = [await readFile(join(plots, "uPlot.min.css"), "utf8"), await local("page.css")];
	const uPlot = await readFile(join(plots, "uPlot.iife.min.js"), "utf8");
	return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>klpemu benchmarks</title>
<style>${styles.join("\n")}</style>
</head>
<body>
<header>
<h1>klpemu benchmarks</h1>
${header(report)}
</header>
<nav>${all.map(({ title }) => `<a href="#${anchor(title)}">${escapeHtml(title)}</a>`).join(" ")}</nav>
<main>
${changes === undefined ? "" : comparison(changes)}
${all.map((section) => sectionHtml(section, charts)).join("\n")}
</main>
<script>${uPlot}</script>
<script type="application/json" id="charts">${JSON.stringify(charts).replaceAll("<", "\\u003c")}</script>
<script type="module">${script}</script>
</body>
</html>
`;
}

function escapeHtml(text: string): string {
	return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function anchor(title: string): string {
	return title.toLowerCase().replaceAll(" ", "-");
}

function header({ machine, versions, warnings, processes, date }: BenchReport): string {
	const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
	return `<p>${escapeHtml(`${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}`)}<br>
${escapeHtml(named.join(", "))}<br>
${escapeHtml(date)}, each number from ${processes} process${processes === 1 ? "" : "es"}; (?) marks numbers that are not to be trusted, with the reason under the table.</p>
${warnings.map((warning) => `<p class="warning">${escapeHtml(warning)}</p>`).join("\n")}`;
}

function tableHtml({ title, columns, rows, notes = [] }: Table): string {
	if (rows.length === 0) return "";
	const cell = (tag: string, text: string) => `<${tag}>${escapeHtml(text)}</${tag}>`;
	return `<h3>${escapeHtml(title)}</h3>
<div class="scroll"><table>
<thead><tr>${columns.map((column) => cell("th", column)).join("")}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.map((text) => cell("td", text)).join("")}</tr>`).join("\n")}</tbody>
</table></div>
${notes.length === 0 ? "" : `<ul class="notes">${notes.map((note) => cell("li", note)).join("")}</ul>`}`;
}

function sectionHtml({ title, text, tables, charts }: Section, all: readonly unknown[]): string {
	const plots = charts.map((chart) =>
		chart.kind === "lines" ? `<div class="plot" data-chart="${all.indexOf(chart)}"></div>` : barsSvg(chart),
	);
	return `<section id="${anchor(title)}">
<h2>${escapeHtml(title)}</h2>
${text === "" ? "" : `<p>${escapeHtml(text)}</p>`}
${plots.join("\n")}
${tables.map(tableHtml).join("\n")}
</section>`;
}

function comparison({ method, warnings, rows }: Changes): string {
	const changed = rows.filter((row) => row.changed);
	const result = changed.length === 0 ? `<p>Nothing changed beyond noise.</p>` : tableHtml(changeTable(changed));
	return `<section id="compared"><h2>Compared with the older report</h2>
<p>${escapeHtml(method)}</p>
${warnings.map((warning) => `<p class="warning">${escapeHtml(warning)}</p>`).join("\n")}
${result}</section>`;
}
