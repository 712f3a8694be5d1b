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

	const numberAxis = (name: string): uPlotClass.Axis => ({
		stroke: TEXT,
		grid: { stroke: LINE, width: 1 },
		ticks: { stroke: LINE },
		font: LABEL_FONT,
		label: name,
		size: 60,
		values: (_plot, splits) => splits.map((value) => (value === null ? "" : value.toLocaleString("en-US"))),
	});

	const seriesOptions = ({ name, dashed }: Chart["series"][number], index: number): uPlotClass.Series => {
		if (dashed) return { label: name, stroke: TEXT, width: 1, dash: [4, 4], points: { show: false } };
		return { label: name, stroke: colour(index), width: 2, spanGaps: true, points: { show: true, size: 6 } };
	};

	/** Both axes are logarithmic: a power is a straight line. */
	const draw = (into: HTMLElement, { x, xName, yName, series, title }: Chart): void => {
		const plot = new uPlot(
			{
				title,
				width: into.clientWidth,
				height: 380,
				scales: { x: { time: false, distr: 3, log: 10 }, y: { distr: 3, log: 10 } },
				axes: [numberAxis(xName), numberAxis(yName)],
				series: [
					{ label: xName, value: (_plot, value) => (value === null ? "" : value.toLocaleString("en-US")) },
					...series.map(seriesOptions),
				],
			},
			[[...x], ...series.map(({ values }) => [...values])] as uPlotClass.AlignedData,
			into,
		);
		addEventListener("resize", () => plot.setSize({ width: into.clientWidth, height: plot.height }));
	};

	const charts = JSON.parse(document.getElementById("charts")!.textContent!) as Chart[];
	for (const into of document.querySelectorAll<HTMLElement>(".plot")) draw(into, charts[Number(into.dataset.chart)]!);
}
