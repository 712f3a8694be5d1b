/** On a terminal, no line is wider than it is. */
import { expect, test } from "vitest";
import { exploreTable } from "../../../src/node/cli/explore-report.js";
import { columnsOf, foldTo } from "../../../src/node/cli/fold.js";
import { commands } from "../../../src/node/cli/index.js";
import { StatusLine } from "../../../src/node/cli/status-line.js";
import { cliOf } from "../../support/cli.js";

const wide = (text: string, columns: number) =>
	text.split("\n").filter((line) => line.length > columns && !/^\s*(klpemu |['"{]|\S+$)/.test(line));

test.each([["--help"], ["designs"], ["doctor"], ...commands.map(({ name }) => [...name.split(" "), "--help"])])(
	"klpemu %s %s %s",
	async (...argv) => {
		for (const columns of [80, 60]) {
			const { stdout } = await cliOf(argv, { env: { COLUMNS: String(columns), PATH: process.env.PATH ?? "" } });
			expect(stdout).not.toBe("");
			expect(wide(stdout, columns)).toEqual([]);
		}
	},
);

test("a folded line goes on where its text begins; commands stay whole", () => {
	expect(foldTo("for: some more words", 12)).toBe("for: some\nmore words");
	expect(foldTo("  for: some more words", 14)).toBe("  for: some\n    more words");
	expect(foldTo("  klpemu run a-long-name.yaml --core FILE", 20)).toBe("  klpemu run a-long-name.yaml --core FILE");
	expect(foldTo("  a  some words here", 12)).toBe("  a  some\n     words\n     here");
	expect(foldTo("not folded without a terminal", undefined)).toBe("not folded without a terminal");
	expect(columnsOf({ stdout: { write: () => true, columns: 90 }, env: { COLUMNS: "70" } })).toBe(90);
});

test("a status line: a terminal overwrites it, a file gets each", () => {
	const written = (isTTY: boolean) => {
		const all: string[] = [];
		const line = new StatusLine({ isTTY, write: (text) => all.push(text) });
		line.show("one");
		line.show("two");
		line.clear();
		return all.join("");
	};
	expect(written(true)).toBe("\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K");
	expect(written(false)).toBe("one\ntwo\n");
});

test("the table of explore leaves out columns for which there is no room", () => {
	const row = {
		...{ design: "replace-set-v1", result: "violated", invariant: "switched-on-stack", scheduleLength: 12 },
		...{ states: 123456, transitions: 7654321, depth: 44, seconds: 12.3, asExpected: true, message: "m ".repeat(60) },
	} as unknown as Parameters<typeof exploreTable>[0]["results"][number];
	const report = { schema: 1, scenario: "a title", results: [row] } as const;
	expect(wide(exploreTable(report, 80), 80)).toEqual([]);
	expect(exploreTable(report, 80)).not.toContain("transitions");
	expect(exploreTable(report)).toMatch(
		/design +verdict +expected +invariant +schedule +states +transitions +depth +seconds/,
	);
});
