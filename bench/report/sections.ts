/** The contents of a report, as tables and plots: the same for the terminal and the page. */
import {
	type BenchReport,
	type Comparison,
	falseDiscovery,
	geometricMean,
	KERNEL,
	type Row,
	type Unit,
	welch,
} from "../common/index.js";
import { CALL_CASES } from "../suites/index.js";
import { digits, ratio, withUnit } from "./format.js";

export interface Table {
	readonly title: string;
	/** The first is text, the others are numbers. */
	readonly columns: readonly string[];
	readonly rows: readonly (readonly string[])[];
	/** Under the table. */
	readonly notes?: readonly string[];
}

/** A plot, as data for the page's script. */
export interface Chart {
	readonly title: string;
	/** `bars` and `dots`: one x for each label. `lines`: both axes logarithmic. */
	readonly kind: "bars" | "dots" | "lines";
	readonly labels: readonly string[];
	readonly x: readonly number[];
	readonly xName: string;
	readonly yName: string;
	readonly series: readonly {
		readonly name: string;
		readonly values: readonly (number | null)[];
		/** Ends of the whiskers. */
		readonly low?: readonly (number | null)[];
		readonly high?: readonly (number | null)[];
		readonly dashed?: boolean;
	}[];
}

export interface Section {
	readonly title: string;
	readonly text: string;
	readonly tables: readonly Table[];
	readonly charts: readonly Chart[];
}

export function sections(report: BenchReport): Section[] {
	const all = [handler(report), designs(report), split(report), transitions(report), machine(report), reality(report)];
	return all.filter(({ tables }) => tables.some(({ rows }) => rows.length > 0));
}

/** Finds rows of a report. */
function finder({ rows }: BenchReport) {
	const map = new Map(rows.map((row) => [`${row.suite} ${row.id} ${row.design} ${row.cpu} ${row.unit}`, row]));
	return (suite: string, id: string, design: string, cpu: string, unit: Unit): Row | undefined =>
		map.get(`${suite} ${id} ${design} ${cpu} ${unit}`);
}

const doubt = (row: Row | undefined) => (row === undefined || row.warnings.length === 0 ? "" : " (?)");
const range = (row: Row) => `${digits(row.min)} – ${digits(row.max)}`;

/** The warnings of the rows of a table. */
function doubts(rows: readonly (Row | undefined)[]): string[] {
	return rows.flatMap((row) => (row?.warnings ?? []).map((warning) => `(?) ${row!.what}: ${warning}`));
}

// ---- handler overhead ----

const CASES = CALL_CASES.filter(({ part }) => !part);

function handler(report: BenchReport): Section {
	const tables = [
		...["jit", "unicorn"].flatMap((cpu) => ["mainline", KERNEL].map((design) => handlerTable(report, cpu, design))),
		...["-", KERNEL].map((design) => handlerTable(report, "hardware", design)),
	];
	return {
		title: "Handler overhead",
		text:
			"A call from a loop, the loop's own cost taken off. Instructions are what the guest executes, exact: the handler itself is " +
			"TypeScript and counts none, or the kernel's own as machine code. × is the multiple of an untraced call on the same Cpu (hardware: of a nop site).",
		tables,
		charts: ["jit", "unicorn"].flatMap((cpu) => handlerCharts(report, cpu)).filter(({ labels }) => labels.length > 0),
	};
}

const SYSTEMS: Readonly<Record<string, string>> = {
	"-": "klpemu's trampoline",
	[KERNEL]: "the kernel's own livepatch code",
};

function handlerTable(report: BenchReport, cpu: string, design: string): Table {
	const find = finder(report);
	const at = (id: string) => find("handler", id, design, cpu, "ns/call");
	const base = at(cpu === "hardware" ? "nop_site" : "untraced");
	const loop = at("loop");
	const rows: string[][] = [];
	if (loop !== undefined) rows.push([loop.what, "", `${digits(loop.median)}${doubt(loop)}`, range(loop), ""]);
	for (const { id, what } of CASES) {
		const row = at(id);
		if (row === undefined || base === undefined) continue;
		const insns = find("handler", id, design, cpu, "insns/call");
		const times = `× ${ratio(row.median / base.median)}`;
		const count = insns === undefined ? "" : String(insns.median);
		rows.push([what, count, `${digits(row.median)}${doubt(row)}`, range(row), times]);
	}
	const name = SYSTEMS[design] ?? design;
	return {
		title: `ns per call, ${name} on ${cpu === "hardware" ? "this machine's hardware, natively" : cpu}`,
		columns: ["call", "instructions", "ns (median)", "min – max", "× untraced"],
		rows,
		notes: [...doubts([loop, ...CASES.map(({ id }) => at(id))]), ...nativePrice(report, cpu, design)],
	};
}

/** What the kernel's own code costs here, as a multiple of the hardware running the same bytes. */
function nativePrice(report: BenchReport, cpu: string, design: string): string[] {
	if (design !== KERNEL || cpu === "hardware") return [];
	return CASES.flatMap(({ id, what }) => {
		const [here, native] = [cpu, "hardware"].map((on) => finder(report)("handler", id, KERNEL, on, "ns/call"));
		if (here === undefined || native === undefined) return [];
		return [
			`${what}: ${ratio(here.median / native.median)} times what this machine's hardware takes for the same bytes.`,
		];
	});
}

/** Cases that do not go directly to the handler of one livepatch are so slow that they need their own scale. */
const isOtherWay = (id: string) => id.startsWith("others") || id === "int3";

function handlerCharts(report: BenchReport, cpu: string): Chart[] {
	const find = finder(report);
	const rows = CASES.map(({ id }) => find("handler", id, "mainline", cpu, "ns/call")).filter(
		(row) => row !== undefined,
	);
	const chart = (what: string, shown: readonly Row[]): Chart => ({
		title: `${what}, on ${cpu}? (whiskers: fastest and slowest process)`,
		kind: "bars",
		labels: shown.map((row) => row.what),
		x: shown.map((_, index) => index),
		xName: "call",
		yName: "ns per call",
		series: [
			{
				name: cpu,
				values: shown.map(({ median }) => median),
				low: shown.map(({ min }) => min),
				high: shown.map(({ max }) => max),
			},
		],
	});
	return [
		chart(
			"What does a call cost under mainline",
			rows.filter(({ id }) => !isOtherWay(id)),
		),
		chart(
			"What do calls cost that take another way than the handler's own trampoline",
			rows.filter(({ id }) => isOtherWay(id) || id === "depth1"),
		),
	];
}

// ---- designs against each other ----

interface Relative {
	readonly factor: number;
	readonly certain: boolean;
}

/** Each design's time as a multiple of mainline's, with a test if they differ. */
function relatives(report: BenchReport): { names: string[]; cells: Map<string, Relative> } {
	const find = finder(report);
	const names = [...new Set(report.rows.filter((row) => row.suite === "handler").map(({ design }) => design))];
	const others = names.filter((name) => name !== "mainline" && name !== "-");
	const cells: { key: string; factor: number; p: number }[] = [];
	for (const { id } of CASES) {
		const base = find("handler", id, "mainline", "jit", "ns/call");
		for (const design of others) {
			const row = find("handler", id, design, "jit", "ns/call");
			if (row === undefined || base === undefined || row.median <= 0 || base.median <= 0) continue;
			const sure = row.runs.length > 1 && base.runs.length > 1 && row.min > 0 && base.min > 0;
			const p = sure ? welch(row.runs.map(Math.log), base.runs.map(Math.log)) : 1;
			cells.push({ key: `${id} ${design}`, factor: row.median / base.median, p });
		}
	}
	const certain = falseDiscovery(
		cells.map(({ p }) => p),
		0.01,
	);
	return {
		names: others,
		cells: new Map(cells.map(({ key, factor }, index) => [key, { factor, certain: certain[index]! }])),
	};
}

function designs(report: BenchReport): Section {
	const { names, cells } = relatives(report);
	const find = finder(report);
	const rows: string[][] = [];
	const factors = new Map<string, number[]>(names.map((name) => [name, []]));
	for (const { id, what } of CASES) {
		const base = find("handler", id, "mainline", "jit", "ns/call");
		if (base === undefined || names.length === 0) continue;
		rows.push([
			what,
			digits(base.median),
			...names.map((name) => {
				const cell = cells.get(`${id} ${name}`);
				if (cell === undefined) return "–";
				// A call of an untraced function or through a nop does not reach the design.
				if (id !== "untraced" && id !== "nop_site") factors.get(name)!.push(cell.factor);
				return `${cell.factor.toFixed(2)}${cell.certain ? "*" : " "}`;
			}),
		]);
	}
	if (rows.length > 0) {
		const means = names.map((name) =>
			factors.get(name)!.length > 0 ? `${geometricMean(factors.get(name)!).toFixed(2)} ` : "–",
		);
		rows.push(["cost relative to mainline (geometric mean)", "", ...means]);
	}
	const reasons = report.absent.map(({ design, what, reason }) => `–  ${design}, ${what}: ${reason}`);
	return {
		title: "Designs",
		text:
			"Every design's time as multiple of mainline's on jit, each measured in processes of its own. * differs beyond noise (Welch's t " +
			"test on logarithms, false discovery rate 1 %). The last row leaves out calls that get to no handler.",
		tables: [{ title: "time relative to mainline", columns: ["call", "mainline ns", ...names], rows, notes: reasons }],
		charts: rows.length > 0 ? [designChart(names, cells)] : [],
	};
}

function designChart(names: readonly string[], cells: ReadonlyMap<string, Relative>): Chart {
	const cases = CASES.filter(({ id }) => names.some((name) => cells.has(`${id} ${name}`)));
	return {
		title: "How much longer than under mainline does a call take under each design, on jit?",
		kind: "dots",
		labels: cases.map(({ what }) => what),
		x: cases.map((_, index) => index),
		xName: "call",
		yName: "× mainline",
		series: names.map((name) => ({ name, values: cases.map(({ id }) => cells.get(`${id} ${name}`)?.factor ?? null) })),
	};
}

// ---- split ----

function split(report: BenchReport): Section {
	const rows = report.rows.filter((row) => row.suite === "split" && row.design === "mainline");
	const counts = rows.filter((row) => row.unit === "insns/call" && row.cpu === "jit");
	const total = counts.reduce((sum, row) => sum + row.median, 0);
	const tables: Table[] = [
		{
			title: "guest instructions of one redirected call, exact",
			columns: ["part", "instructions"],
			rows: [
				...counts.map((row) => [row.what, String(row.median)]),
				...(total > 0 ? [["all of one turn of the loop", String(total)]] : []),
			],
		},
	];
	const charts: Chart[] = [];
	for (const cpu of ["jit", "unicorn"]) {
		const times = rows.filter((row) => row.unit === "ns/call" && row.cpu === cpu);
		if (times.length === 0) continue;
		const whole = times.reduce((sum, row) => sum + row.median, 0);
		const share = (row: Row) => `${((100 * row.median) / whole).toFixed(0)} %`;
		tables.push({
			title: `time of one redirected call above a nop site, ${cpu}`,
			columns: ["part", "ns (median)", "min – max", "share"],
			rows: times.map((row) => [row.what, `${digits(row.median)}${doubt(row)}`, range(row), share(row)]),
			notes: doubts(times),
		});
		charts.push({
			title: `Where does the time of one redirected call go, on ${cpu}?`,
			kind: "bars",
			labels: times.map(({ what }) => what),
			x: times.map((_, index) => index),
			xName: "part",
			yName: "ns per call",
			series: [
				{ name: cpu, values: times.map((r) => r.median), low: times.map((r) => r.min), high: times.map((r) => r.max) },
			],
		});
	}
	return {
		title: "Where the time goes",
		text:
			"Times are differences between calls that do one thing more each: a nop; a call to a bare ret; a trampoline around that ret; one " +
			"around a gate with nothing behind; the handler, choosing the original; the handler, redirecting.",
		tables,
		charts,
	};
}

// ---- transitions ----

function transitions(report: BenchReport): Section {
	const rows = report.rows.filter((row) => row.suite === "transitions");
	const find = finder(report);
	const tables: Table[] = [];
	const systems = [...new Set(rows.map(({ design, cpu }) => `${design} ${cpu}`))];
	for (const system of systems) {
		const [design, cpu] = system.split(" ") as [string, string];
		const times = rows.filter((row) => row.design === design && row.cpu === cpu && row.unit === "ms");
		const count = (row: Row, unit: Unit) => digits(find("transitions", row.id, design, cpu, unit)!.median);
		tables.push({
			title: `from enable to complete, ${design} on ${cpu}`,
			columns: ["transition", "ms (median)", "min – max", "kernel steps", "rounds", "guest instructions"],
			rows: times.map((row) => [
				row.what,
				`${digits(row.median)}${doubt(row)}`,
				range(row),
				count(row, "points"),
				count(row, "rounds"),
				count(row, "insns"),
			]),
			notes: [...goalNotes(times), ...doubts(times)],
		});
	}
	tables.push({
		title: "exponents: time ~ x^k (1 is linear)",
		columns: ["curve", "design", "of", "k", "from x", "r²"],
		rows: report.fits.map((fit) => [
			fit.what,
			fit.design,
			fit.unit === "ms" ? "time" : "steps",
			fit.exponent.toFixed(2),
			digits(fit.from),
			fit.r2.toFixed(3),
		]),
	});
	return {
		title: "Transitions",
		text:
			"From klp_enable_patch() to the end of the transition. Tasks outside the kernel need no look at a stack; sleeping ones are walked; " +
			"busy ones must come out of the kernel first. Exponents are least squares on logarithms, over the points whose x is at least a " +
			"hundredth of the largest: below that, the 250 rounds until the first retry are most of the time.",
		tables: rows.length > 0 ? tables : [],
		charts: rows.length > 0 ? transitionCharts(report) : [],
	};
}

const GOAL_SECONDS = 2;

function goalNotes(times: readonly Row[]): string[] {
	return times
		.filter(({ id }) => id.startsWith("goal/"))
		.map(({ what, max, warnings }) => {
			const seconds = max / 1000;
			// If another process used the processor, the undisturbed time is not known.
			const crowded = warnings.some((warning) => warning.includes("had the processor"));
			const verdict = seconds <= GOAL_SECONDS ? "reached" : crowded ? "cannot be told" : "NOT reached";
			const slowest = `slowest process ${seconds.toFixed(2)} s${crowded ? ", others had the processor in between" : ""}`;
			return `goal, ${what} within ${GOAL_SECONDS} s: ${verdict} (${slowest})`;
		});
}

/** What the x of a curve counts. */
const GROWS = {
	tasks: "the number of tasks",
	functions: "the number of patched functions",
	depth: "the depth of the stacks",
};

function transitionCharts({ fits }: BenchReport): Chart[] {
	const charts: Chart[] = [];
	for (const x of ["tasks", "functions", "depth"] as const) {
		const mine = fits.filter((fit) => fit.x === x && fit.unit === "ms");
		const xs = [...new Set(mine.flatMap(({ points }) => points.map(([value]) => value)))].sort((a, b) => a - b);
		if (xs.length === 0) continue;
		const highest = Math.max(...mine.flatMap(({ points }) => points.map(([, value]) => value)));
		charts.push({
			title: `How does the time of a transition grow with ${GROWS[x]}?`,
			kind: "lines",
			labels: [],
			x: xs,
			xName: x,
			yName: "ms",
			series: [
				...mine.map(({ curve, design, points }) => {
					const values = new Map(points);
					return {
						name: `${curve.replace(/^tasks\//, "")}, ${design}`,
						values: xs.map((value) => values.get(value) ?? null),
					};
				}),
				{ name: "linear", values: xs.map((value) => (value * highest) / xs.at(-1)!), dashed: true },
			],
		});
	}
	return charts;
}

// ---- the machine ----

function machine(report: BenchReport): Section {
	const rows = report.rows.filter((row) => row.suite === "machine");
	return {
		title: "The machine",
		text: "",
		tables: [
			{
				title: "start-up, memory, throughput",
				columns: ["what", "Cpu", "median", "min – max"],
				rows: rows.map((row) => [
					row.what,
					row.cpu,
					`${withUnit(row.median, row.unit)}${doubt(row)}`,
					row.exact ? "exact" : range(row),
				]),
				notes: doubts(rows),
			},
		],
		charts: [],
	};
}

// ---- reality ----

const REALITY_TEXT =
	"Figures of other machines, as ratios to something of the same machine, beside the same ratio here; bench/reference.json has them. " +
	"Instructions: a real kernel runs klp_ftrace_handler() as machine code and returns through return thunks, and its traced function is " +
	"another one. The handler in TypeScript is behind a gate of two instructions, so only what is outside of it can be the same: the site, " +
	"the trampoline and the return. With the kernel's own livepatch code and trampolines (npm run build:kernel-core) all of it is the same. The four transition cases of the kernel differ by branches of the handler; ours differ only by whether the " +
	"new function (one nop site more) is reached. int3 and instructions that a fault interrupts are not counted.";

function reality({ comparisons }: BenchReport): Section {
	const known = comparisons.filter(({ ours }) => ours !== null);
	const of = (kind: Comparison["kind"]) => known.filter((comparison) => comparison.kind === kind);
	const instructions = of("instructions").map((each) => [
		each.what,
		String(each.value),
		String(each.oursRaw),
		`+${each.theirs}`,
		`+${each.ours}`,
		each.kernel == null ? "–" : `+${each.kernel}`,
	]);
	const times = of("time").map((each) => [
		each.what,
		`× ${ratio(each.theirs)}`,
		`× ${ratio(each.ours!)}`,
		each.relativeTo.what,
		each.cpu ?? "jit",
		each.where,
	]);
	const sources = [...new Set(known.map(({ where, source, date }) => `${where}: ${source}, ${date}`))];
	return {
		title: "Beside reality",
		text: REALITY_TEXT,
		tables: [
			{
				title: "instructions per call: Linux 6.12, and klpemu's guest",
				columns: [
					"call",
					"6.12",
					"here",
					"6.12 over untraced",
					"here over untraced",
					"kernel's code here, over untraced",
				],
				rows: instructions,
			},
			{
				title: "times, relative",
				columns: ["call", "theirs", "here", "relative to", "Cpu here", "where theirs was measured"],
				rows: times,
				notes: sources,
			},
		],
		charts: times.length > 0 ? [realityChart(of("time"))] : [],
	};
}

function realityChart(times: readonly Comparison[]): Chart {
	return {
		title: "How many times a baseline of the same machine does it take, theirs and here? (logarithmic)",
		kind: "dots",
		labels: times.map(({ what, relativeTo }) => `${what} / ${relativeTo.what}`),
		x: times.map((_, index) => index),
		xName: "call",
		yName: "× baseline",
		series: [
			{ name: "theirs", values: times.map(({ theirs }) => theirs) },
			{ name: "here", values: times.map(({ ours }) => ours) },
		],
	};
}
