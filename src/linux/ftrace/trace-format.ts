/** The text of the file `trace` (kernel/trace/trace.c, trace_output.c). */

/** Who did something, where and when: the beginning of a line. */
export interface TraceContext {
	/** `<idle>` for an idle task. */
	readonly comm: string;
	readonly pid: number;
	readonly cpu: number;
	/** Microseconds. */
	readonly time: number;
}

/** The header. `tracer`: `function`. `entries`, `written`: lines in the buffer, and with those that were overwritten. */
export function traceHeader(tracer: string, entries: number, written: number, cpus: number): string[] {
	return [
		`# tracer: ${tracer}`,
		"#",
		`# entries-in-buffer/entries-written: ${entries}/${written}   #P:${cpus}`,
		"#",
		"#                                _-----=> irqs-off/BH-disabled",
		"#                               / _----=> need-resched",
		"#                              | / _---=> hardirq/softirq",
		"#                              || / _--=> preempt-depth",
		"#                              ||| / _-=> migrate-disable",
		"#                              |||| /     delay",
		"#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION",
		"#              | |         |   |||||     |         |",
	];
}

/** A line. `text`: what was traced, `func <-parent` for a call. */
export function traceLine({ comm, pid, cpu, time }: TraceContext, text: string): string {
	const task = `${comm.padStart(16)}-${String(pid).padEnd(7)}`;
	// No interrupt, no softirq, and preemption as in the traced function: five dots.
	return `${task} [${String(cpu).padStart(3, "0")}] ..... ${traceTime(time)}: ${text}`;
}

/** Microseconds as `    1.000002`. */
export function traceTime(time: number): string {
	const seconds = String(Math.floor(time / 1_000_000)).padStart(5);
	return `${seconds}.${String(time % 1_000_000).padStart(6, "0")}`;
}
