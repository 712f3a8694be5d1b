import { type TraceContext, traceHeader, traceLine, traceTime } from "../linux/ftrace/index.js";
import type { Timeline, TimelineEvent } from "./timeline.js";

/** A line of a function trace. */
interface Entry extends TraceContext {
	/** A call, or the text of a marker. */
	readonly what: { readonly func: string; readonly parent: string } | string;
}

/** Of these events, the trace has a marker, as if the task had written one to trace_marker. */
const MARKED: ReadonlySet<TimelineEvent["category"]> = new Set([
	...(["step", "transition", "text_poke", "switch", "wake", "signal", "oops", "violation"] as const),
]);

/**
 * A timeline in the format of the function tracer, as /sys/kernel/tracing/trace shows it. A tick is a microsecond. Steps, switches,
 * pokes and violations are markers.
 */
export function renderFtrace(timeline: Timeline): string {
	const entries = entriesOf(timeline);
	const lines = entries.map(({ what, ...context }) => {
		return traceLine(
			context,
			typeof what === "string" ? `tracing_mark_write: ${what}` : `${what.func} <-${what.parent}`,
		);
	});
	const header = traceHeader("function", lines.length, lines.length, cpusOf(timeline));
	return `${[...header, ...lines].join("\n")}\n`;
}

/** The same as `trace-cmd report -O parent -O indent=0` prints a recording. */
export function renderTraceCmd(timeline: Timeline): string {
	const lines = entriesOf(timeline).map(({ comm, pid, cpu, time, what }) => {
		const context = `${comm.padStart(16)}-${String(pid).padEnd(5)} [${String(cpu).padStart(3, "0")}] ${traceTime(time)}: `;
		// The name of an event has 22 columns, with its colon.
		if (typeof what === "string") return `${context}${"print:".padEnd(22)}tracing_mark_write: ${what}`;
		return `${context}${"function:".padEnd(22)}${what.func} <-- ${what.parent}`;
	});
	return `${[`cpus=${cpusOf(timeline)}`, ...lines].join("\n")}\n`;
}

function cpusOf({ lanes }: Timeline): number {
	return lanes.filter(({ kind }) => kind === "cpu").length;
}

function entriesOf({ lanes, events }: Timeline): Entry[] {
	const entries: Entry[] = [];
	const shell = lanes.find(({ kind, name }) => kind === "task" && name === "shell")?.number ?? 0;
	/** By CPU: the pid of the task on it. */
	const pids = new Map<number, number>();
	const cpuOf = (pid: number) => [...pids].find(([, on]) => on === pid)?.[0] ?? 0;
	for (const { at: time, lane, kind, name, category, details = {}, call } of events) {
		const { kind: row, name: rowName, number } = lanes[lane]!;
		if (row === "cpu" && kind === "begin") pids.set(number, Number(details.pid));
		if (kind === "end" || row === "cpu") continue;
		const isTask = row === "task";
		// A step is an act of the administrator.
		const [comm, pid] = isTask ? [/^swapper\//.test(rowName) ? "<idle>" : rowName, number] : ["shell", shell];
		if (call?.traceable) {
			const { func, parent, cpu } = call;
			entries.push({ comm, pid, cpu, time, what: { func, parent } });
		} else if (MARKED.has(category)) {
			entries.push({ comm, pid, cpu: cpuOf(pid), time, what: markOf(category, name, details) });
		}
	}
	return entries;
}

function markOf(category: string, name: string, details: Readonly<Record<string, string | number>>): string {
	const more = Object.entries(details).map(([key, value]) => `${key}=${value}`);
	return [`${category}: ${name}`, ...more].join(" ").replaceAll("\n", " ");
}
