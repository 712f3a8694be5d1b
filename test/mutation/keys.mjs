import { relative } from "node:path";

/** The keys of the mutants that run. */
export const SAMPLE = ".cache/mutation-sample.json";
/** A result of a mutant in each line. */
export const RESULTS = ".cache/mutation-results.jsonl";

/** Lines count from 0 in Stryker's mutants, and from 1 in its option `mutate`; columns from 0. */
export const placeOf = ({ start, end }) => `${start.line + 1}:${start.column}-${end.line + 1}:${end.column}`;

/** Names a mutant: where it is, of which kind, and what the code becomes. */
export function keyOf({ fileName, location, mutatorName, replacement }) {
	// Checkers see the files of a sandbox.
	const file = fileName.replace(/^.*\/sandbox-[^/]+\//, "").replace(`${process.cwd()}/`, "");
	return [
		file.startsWith("/") ? relative(process.cwd(), file) : file,
		placeOf(location),
		mutatorName,
		replacement,
	].join(" ");
}
