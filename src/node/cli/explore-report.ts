/** One line of the table. A design with several broken invariants has several. */
export interface ExploreRow {
	readonly design: string;
	readonly result: "complete" | "bounded" | "violated";
	readonly invariant: string | null;
	readonly message: string | null;
	/** Moves of the shortest schedule. */
	readonly scheduleLength: number | null;
	readonly states: number;
	readonly transitions: number;
	readonly depth: number;
	readonly seconds: number;
	/** The schedule, as text that `klpemu replay` reads. */
	readonly schedule: string | null;
	/** Where it was saved. */
	readonly file?: string;
	/** Of a shard: fingerprints of the states it visited, with the number of moves from there. */
	readonly visited?: Readonly<Record<string, number>>;
}

/** The document that `klpemu explore --json` prints. Keys are only ever added within one `schema` number. */
export interface ExploreReport {
	readonly schema: 1;
	/** The scenario's title. */
	readonly scenario: string;
	/** Where a task that runs in the kernel could lose its CPU. Older reports do not say it. */
	readonly preemption?: "none" | "full";
	readonly shard?: string;
	readonly results: readonly ExploreRow[];
}

const HEAD = ["design", "verdict", "invariant", "schedule", "states", "transitions", "depth", "seconds"];

/** The report for people. */
export function exploreTable({ scenario, preemption, shard, results }: ExploreReport): string {
	const rows = results.map((row) => [
		row.design,
		row.result,
		row.invariant ?? "-",
		row.scheduleLength === null ? "-" : `${row.scheduleLength} moves`,
		String(row.states),
		String(row.transitions),
		String(row.depth),
		row.seconds.toFixed(1),
	]);
	const widths = HEAD.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
	const line = (cells: readonly string[]) =>
		cells
			.map((cell, column) => (column < 3 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
			.join("  ")
			.trimEnd();
	const rule = preemption === undefined ? "" : ` · preemption ${preemption}`;
	const lines = [
		`${scenario}${rule}${shard === undefined ? "" : `, part ${shard}`}`,
		"",
		line(HEAD),
		...rows.map(line),
	];
	const told = results.filter(({ message }) => message !== null);
	if (told.length > 0) lines.push("");
	for (const { design, invariant, message, file } of told) {
		lines.push(`${design}: ${invariant}: ${message}${file === undefined ? "" : ` (${file})`}`);
	}
	if (results.some(({ result }) => result === "bounded")) {
		lines.push("", "bounded: not all states were seen, so that nothing is said about the others.");
	}
	return `${lines.join("\n")}\n`;
}
