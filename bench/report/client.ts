/** The page's script: draws the plots. It is compiled when the page is made, and imports nothing at run time. */
import type uPlotClass from "uplot";
import type { Chart } from "./sections.js";

declare const uPlot: typeof uPlotClass;

{
	const COLOURS = ["#0f6fde", "#d6409f", "#2b9a66", "#e5701a", "#7c66dc", "#947100", "#e5484d", "#0d9488", "#6b7280"];
	const style = getComputedStyle(document.documentElement);
	const TEXT = style.getPropertyValue("--text").trim();
	const LINE = style.getPropertyValue("--line").trim();
	const LABEL_FONT = "12px system-ui, sans-serif";

	const colour = (index: number): string => COLOURS[index % COLOURS.length]!;

	/** Categories are on the x axis, with slanted names below it. */
	const categoryAxis = ({ labels, xName }: Chart): uPlotClass.Axis => ({
		stroke: TEXT,
		grid: { show: false },
		ticks: { stroke: LINE },
		font: LABEL_FONT,
		label: xName,
		rotate: -45,
		size: 40 + 5 * Math.max(...labels.map((label) => Math.min(label.length, 34))),
		splits: () => labels.map((_, index) => index),
		values: () => labels.map((label) => (label.length > 34 ? `${label.slice(0, 33)}…` : label)),
	});

	const numberAxis = (name: string): uPlotClass.Axis => ({
		stroke: TEXT,
		grid: { stroke: LINE, width: 1 },
		ticks: { stroke: LINE },
		font: LABEL_FONT,
		label: name,
		size: 60,
		values: (_plot, splits) => splits.map((value) => (value === null ? "" : value.toLocaleString("en-US"))),
	});

	/** From the fastest to the slowest process, over each bar. */
	const whiskers = (chart: Chart) => (plot: uPlotClass) => {
		const { low, high } = chart.series[0]!;
		if (low === undefined || high === undefined) return;
		const { ctx } = plot;
		ctx.save();
		ctx.strokeStyle = TEXT;
		ctx.lineWidth = 1.5 * devicePixelRatio;
		ctx.beginPath();
		chart.x.forEach((value, index) => {
			const x = plot.valToPos(value, "x", true);
			for (const end of [low[index]!, high[index]!]) {
				const y = plot.valToPos(end, "y", true);
				ctx.moveTo(x - 4 * devicePixelRatio, y);
				ctx.lineTo(x + 4 * devicePixelRatio, y);
			}
			ctx.moveTo(x, plot.valToPos(low[index]!, "y", true));
			ctx.lineTo(x, plot.valToPos(high[index]!, "y", true));
		});
		ctx.stroke();
		ctx.restore();
	};

	const seriesOptions = (
		{ kind }: Chart,
		{ name, dashed }: Chart["series"][number],
		index: number,
	): uPlotClass.Series => {
		const stroke = dashed ? TEXT : colour(index);
		if (kind === "bars") {
			return {
				label: name,
				stroke,
				fill: `${stroke}66`,
				width: 1,
				paths: uPlot.paths.bars!({ size: [0.7, 60] }),
				points: { show: false },
			};
		}
		if (kind === "dots")
			return { label: name, stroke, width: 0, paths: () => null, points: { show: true, size: 8, fill: stroke } };
		if (dashed) return { label: name, stroke, width: 1, dash: [4, 4], points: { show: false } };
		return { label: name, stroke, width: 2, spanGaps: true, points: { show: true, size: 6 } };
	};

	const isLogarithmic = ({ kind, series }: Chart): boolean => {
		const values = series.flatMap((each) => each.values).filter((value) => value !== null && value > 0) as number[];
		return kind === "lines" || (kind === "dots" && Math.max(...values) / Math.min(...values) > 20);
	};

	const draw = (into: HTMLElement, chart: Chart): void => {
		const { kind, labels, x, xName, yName, series, title } = chart;
		const categories = kind !== "lines";
		const bottom = categories ? categoryAxis(chart) : numberAxis(xName);
		const highest = Math.max(
			...series.flatMap((each) => [...(each.high ?? []), ...each.values]).map((value) => value ?? 0),
		);
		const y: uPlotClass.Scale = isLogarithmic(chart)
			? { distr: 3, log: 10 }
			: { range: (_plot, _min, max) => [0, Math.max(max, highest) * 1.05] };
		const plot = new uPlot(
			{
				title,
				width: into.clientWidth,
				height: categories ? 360 + (bottom.size as number) / 2 : 380,
				scales: {
					x: categories
						? { time: false, range: () => [-0.6, labels.length - 0.4] }
						: { time: false, distr: 3, log: 10 },
					y,
				},
				axes: [bottom, numberAxis(yName)],
				series: [
					{
						label: xName,
						value: (_plot, value) => (value === null ? "" : (labels[value] ?? value.toLocaleString("en-US"))),
					},
					...series.map((each, index) => seriesOptions(chart, each, index)),
				],
				hooks: kind === "bars" ? { draw: [whiskers(chart)] } : {},
			},
			[[...x], ...series.map(({ values }) => [...values])] as uPlotClass.AlignedData,
			into,
		);
		addEventListener("resize", () => plot.setSize({ width: into.clientWidth, height: plot.height }));
	};

	const charts = JSON.parse(document.getElementById("charts")!.textContent!) as Chart[];
	for (const into of document.querySelectorAll<HTMLElement>(".plot")) draw(into, charts[Number(into.dataset.chart)]!);
}
