/** Horizontal bars and dots as SVG: a row for each name, which is read without turning the head. */
import { digits } from "./format.js";
import type { Chart } from "./sections.js";

/** Sizes in pixels. */
const WIDTH = 960;
const NAMES = 330;
const VALUES = 96;
const ROW = 24;
const HEAD = 8;
const FOOT = 22;
/** Characters of a name that fit. */
const MOST_NAME = 52;
/** From this ratio of the largest value to the smallest on, a linear axis hides the small ones. */
const WIDE_RATIO = 20;

const escaped = (text: string): string =>
	text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** A position on the axis for each value. */
interface Axis {
	readonly at: (value: number) => number;
	readonly ticks: readonly number[];
}

/** A difference of two noisy times can come out below zero: there is no bar for it, and its row says why. */
const isPlotted = (value: number | null | undefined): value is number => typeof value === "number" && value > 0;

export function barsSvg(chart: Chart): string {
	const { labels, series, title, yName } = chart;
	const values = series.flatMap((each) => [...each.values, ...(each.high ?? [])]).filter(isPlotted);
	if (values.length === 0) return `<p class="none">${escaped(title)}: all values are below the noise of this run.</p>`;
	const axis =
		chart.kind === "dots" && Math.max(...values) / Math.min(...values) > WIDE_RATIO ? log(values) : linear(values);
	const height = HEAD + ROW * labels.length + FOOT;
	const bottom = HEAD + ROW * labels.length;
	const ticks = axis.ticks.map((tick) => {
		const x = axis.at(tick);
		return `<line class="tick" x1="${x}" x2="${x}" y1="${HEAD}" y2="${bottom}"/><text class="axis" x="${x}" y="${bottom + 15}" text-anchor="middle">${escaped(tickText(tick))}</text>`;
	});
	const rows = labels.map((label, row) => rowSvg(chart, axis, label, row));
	return `<figure><figcaption>${escaped(title)}</figcaption>
${series.length > 1 ? legend(chart) : ""}
<div class="scroll"><svg class="bars" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(`${title}: ${yName}. The table has the numbers.`)}">
${ticks.join("")}
<text class="axis" x="${WIDTH - 4}" y="${bottom + 15}" text-anchor="end">${escaped(yName)}</text>
${rows.join("\n")}
</svg></div></figure>`;
}

function rowSvg({ kind, series }: Chart, axis: Axis, label: string, row: number): string {
	const middle = HEAD + ROW * row + ROW / 2;
	const name = label.length > MOST_NAME ? `${label.slice(0, MOST_NAME - 1)}…` : label;
	const marks = series.map(({ values, low, high, name: of }, index) => {
		const value = values[row];
		if (!isPlotted(value)) return "";
		const x = axis.at(value);
		const tip = `<title>${escaped(`${label}, ${of}: ${digits(value)}`)}</title>`;
		if (kind === "dots") return `<circle class="s${index % 9}" cx="${x}" cy="${middle}" r="5">${tip}</circle>`;
		const bar = `<rect class="s${index % 9}" x="${NAMES}" y="${middle - 8}" width="${Math.max(1, x - NAMES)}" height="16">${tip}</rect>`;
		return bar + whisker(axis, middle, low?.[row], high?.[row]);
	});
	const [first] = series;
	const value = first?.values[row];
	const told = kind === "dots" ? "" : isPlotted(value) ? digits(value) : value == null ? "" : "below the noise";
	return `<text x="${NAMES - 8}" y="${middle + 4}" text-anchor="end"><title>${escaped(label)}</title>${escaped(name)}</text>${marks.join("")}<text class="value" x="${WIDTH - 4}" y="${middle + 4}" text-anchor="end">${told}</text>`;
}

/** From the fastest to the slowest process. */
function whisker(axis: Axis, y: number, low: number | null | undefined, high: number | null | undefined): string {
	if (!isPlotted(high)) return "";
	const [from, to] = [axis.at(Math.max(low ?? 0, 0)), axis.at(high)];
	return `<path class="whisker" d="M${from} ${y}H${to}M${from} ${y - 4}v8M${to} ${y - 4}v8"/>`;
}

function legend({ series }: Chart): string {
	const keys = series.map(({ name }, index) => `<span class="key s${index % 9}">${escaped(name)}</span>`);
	return `<p class="legend">${keys.join(" ")}</p>`;
}

function linear(values: readonly number[]): Axis {
	const most = Math.max(...values) * 1.02;
	const power = 10 ** Math.floor(Math.log10(most));
	const step = [0.2, 0.5, 1, 2].map((part) => part * power).find((part) => most / part <= 6) ?? power;
	const ticks = Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step);
	return { at: (value) => round(NAMES + ((WIDTH - NAMES - VALUES) * value) / most), ticks };
}

function log(values: readonly number[]): Axis {
	const [low, high] = [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(Math.max(...values)))];
	const span = Math.max(1, high - low);
	const ticks = Array.from({ length: span + 1 }, (_, index) => 10 ** (low + index));
	return { at: (value) => round(NAMES + ((WIDTH - NAMES - VALUES) * (Math.log10(value) - low)) / span), ticks };
}

const round = (x: number): number => Math.round(x * 10) / 10;
const tickText = (value: number): string =>
	Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 6 });
