/** The exact counts of an exploration, in a file beside the scenario, and the verdicts at the beginning of the scenario. */
import { readFile } from "node:fs/promises";
import type { Exploration } from "../src/explore/index.js";

/** What is explored there under one design, each to so many states. */
export const HUNTING = "scenarios/hunting";
export const HUNTING_BUDGET = 20_000;

export interface Counts extends Pick<Exploration, "result" | "states" | "transitions" | "depth"> {
	/** Those that some schedule breaks, by name. */
	readonly invariants: readonly string[];
}

export function countsOf({ result, violations, states, transitions, depth }: Exploration): Counts {
	const invariants = violations.map(({ broken }) => broken.invariant).sort();
	return { result, invariants, states, transitions, depth };
}

/** `scenarios/family/sleepers.counts.json` */
export function countsFile(scenario: string): string {
	return scenario.replace(/\.yaml$/, ".counts.json");
}

/** A line for each design. */
export function countsText(byDesign: ReadonlyMap<string, Counts>): string {
	const lines = [...byDesign].map(([design, counts]) => {
		const values = Object.entries(counts).map(
			([key, value]) => `"${key}": ${JSON.stringify(value).replaceAll('","', '", "')}`,
		);
		return `\t"${design}": { ${values.join(", ")} }`;
	});
	return `{\n${lines.join(",\n")}\n}\n`;
}

async function savedCounts(scenario: string): Promise<Readonly<Record<string, Counts>>> {
	return JSON.parse(await readFile(countsFile(scenario), "utf8").catch(() => "{}"));
}

/** Of all designs together, when the counts were written; without counts it may be the longest. */
export async function statesOf(scenario: string): Promise<number> {
	const counts = Object.values(await savedCounts(scenario));
	return counts.length === 0 ? Number.MAX_SAFE_INTEGER : counts.reduce((sum, { states }) => sum + states, 0);
}

/** Prints each line that is not that of the file, and sets process.exitCode. */
export async function checkCounts(scenario: string, byDesign: ReadonlyMap<string, Counts>): Promise<void> {
	const file = countsFile(scenario);
	const old = await savedCounts(scenario);
	const differ = [...byDesign].flatMap(([design, counts]) => {
		const [was, is] = [JSON.stringify(old[design]), JSON.stringify(counts)];
		return was === is ? [] : [`- ${design}: ${was}`, `+ ${design}: ${is}`];
	});
	if (differ.length > 0) complain(`${file} is not current: npm run findings -- --counts ${scenario}`, differ);
}

/** `# complete: mainline, universe`, at the beginning of a scenario. */
const VERDICT =
	/^#\s+(complete|bounded|[a-z][a-z-]*(?:, [a-z][a-z-]*)*): (all|all others|[a-z0-9-]+(?:, [a-z0-9-]+)*)$/;

/**
 * A scenario begins with its question, and the verdict of each design: `# INVARIANT, INVARIANT: DESIGN, DESIGN`, or `# complete: all
 * others`.
 */
export async function checkHead(scenario: string, byDesign: ReadonlyMap<string, Counts>): Promise<void> {
	const { question, verdicts } = headOf(await readFile(scenario, "utf8"), [...byDesign.keys()]);
	if (!question.includes("?")) complain(`${scenario} does not begin with a question`, [question]);
	const differ = [...byDesign].flatMap(([design, { result, invariants }]) => {
		const found = invariants.length > 0 ? invariants.join(", ") : result;
		const said = verdicts.get(design);
		return said === found ? [] : [`${design}: ${found}; the scenario says ${said ?? "nothing"}`];
	});
	if (differ.length > 0) complain(`${scenario} begins with other verdicts`, differ);
}

/** The comment at the beginning: the text before the verdicts, and the verdict of each design. */
export function headOf(
	text: string,
	designs: readonly string[],
): { question: string; verdicts: ReadonlyMap<string, string> } {
	const lines = text.split("\n");
	const head = lines.slice(
		0,
		lines.findIndex((line) => !line.startsWith("#")),
	);
	const verdicts = new Map<string, string>();
	for (const line of head) {
		const [, verdict, names] = VERDICT.exec(line) ?? [];
		if (verdict === undefined || names === undefined) continue;
		const listed = names.startsWith("all") ? designs.filter((design) => !verdicts.has(design)) : names.split(", ");
		for (const design of listed) verdicts.set(design, verdict);
	}
	return { question: head.filter((line) => !VERDICT.test(line)).join("\n"), verdicts };
}

function complain(what: string, lines: readonly string[]): void {
	process.stderr.write(`${what}\n${lines.join("\n")}\n`);
	process.exitCode = 1;
}
