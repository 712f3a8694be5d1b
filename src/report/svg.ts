import { xml } from "./junit.js";
import type { Report, ReportStep, ReportTask } from "./types.js";

/** Sizes in pixels. */
const ROW = 22;
const HEAD = 58;
const TITLE_WIDTH = 250;
const LANE = 110;
const BAR = 20;
const FOOT = 34;
/** Characters of 12 pixels that fit into a width. */
const fits = (width: number): number => Math.floor(width / 6.7);

/** Fill of a bar by patch_state. They differ in grey too, so that a printed diagram can be read. */
const FILLS: Readonly<Record<ReportTask["patch_state"], string>> = {
	IDLE: "#ffffff",
	UNPATCHED: "url(#unpatched)",
	PATCHED: "#3465a4",
};
const STYLE = `text { font: 12px sans-serif; fill: #1a1a1a } .title { font-weight: bold; font-size: 14px } .small { font-size: 11px }
 .bad { fill: #b00020; font-weight: bold } .step { stroke: #d8d8d8 } rect.bar { stroke: #444 }`;

function shortened(text: string, width: number): string {
	const room = fits(width);
	return text.length <= room ? text : `${text.slice(0, room - 1)}…`;
}

/** What a task runs, in short: the innermost function on its stack, or nothing. */
function label({ in: inside }: ReportTask): string {
	return inside ?? "";
}

/**
 * The run as a space-time diagram, for a mail or a document: time goes down, a row for each step, a lane for each task. The bar of a lane
 * is its patch_state, the text beside it the function that the task is in, a cross a violation.
 */
export function renderSvg(report: Report): string {
	const names = [...new Set(report.steps.flatMap(({ tasks }) => Object.keys(tasks)))];
	const steps = report.steps.filter(({ action }) => !action.startsWith("expect "));
	const width = TITLE_WIDTH + LANE * Math.max(1, names.length) + 10;
	const height = HEAD + ROW * steps.length + FOOT;
	const core = report.core === undefined ? "" : ` (Linux ${report.core})`;
	const title = `${report.scenario} · ${report.design}${core} · ${report.verdict}`;
	return [
		`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
		`<title>${xml(title)}</title>`,
		`<style>${STYLE}</style>`,
		'<defs><pattern id="unpatched" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" fill="#ffffff"/><rect width="3" height="6" fill="#b58900"/></pattern></defs>',
		`<rect width="${width}" height="${height}" fill="#ffffff"/>`,
		`<text class="title" x="8" y="20">${xml(shortened(title, width * 0.85))}</text>`,
		...names.map((name, lane) => `<text x="${x(lane)}" y="${HEAD - 12}">${xml(shortened(name, LANE))}</text>`),
		...steps.flatMap((step, row) => rowOf(report, step, row, names, width)),
		...legend(height - 12),
		"</svg>",
		"",
	].join("\n");
}

const x = (lane: number): number => TITLE_WIDTH + LANE * lane;

function rowOf(report: Report, step: ReportStep, row: number, names: readonly string[], width: number): string[] {
	const y = HEAD + ROW * row;
	const action = shortened(`${step.index}  ${step.action}`, TITLE_WIDTH - 16);
	const broken = report.violations.filter(({ step: index }) => index === step.index);
	const lines = [
		`<line class="step" x1="0" y1="${y}" x2="${width}" y2="${y}"/>`,
		`<text x="8" y="${y + 15}">${xml(action)}</text>`,
	];
	for (const [lane, name] of names.entries()) {
		const task = step.tasks[name];
		if (task === undefined) continue;
		lines.push(
			`<rect class="bar" x="${x(lane)}" y="${y}" width="${BAR}" height="${ROW}" fill="${FILLS[task.patch_state]}"/>`,
		);
		lines.push(
			`<text class="small" x="${x(lane) + BAR + 5}" y="${y + 15}">${xml(shortened(label(task), LANE - BAR - 24))}</text>`,
		);
		const own = broken.filter(({ task: of }) => of === name);
		if (own.length === 0) continue;
		const why = own.map(({ invariant, message }) => `${invariant}: ${message}`).join("\n");
		lines.push(`<text class="bad" x="${x(lane) + LANE - 20}" y="${y + 16}"><title>${xml(why)}</title>✗</text>`);
	}
	return lines;
}

function legend(y: number): string[] {
	const entries = Object.entries(FILLS).flatMap(([state, fill], index) => [
		`<rect class="bar" x="${8 + 110 * index}" y="${y - 11}" width="${BAR}" height="14" fill="${fill}"/>`,
		`<text class="small" x="${8 + 110 * index + BAR + 5}" y="${y}">${state}</text>`,
	]);
	return [...entries, `<text class="small" x="340" y="${y}">✗ breaks an invariant</text>`];
}
