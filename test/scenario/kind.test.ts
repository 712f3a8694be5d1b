/** What is no scenario says so. */
import { expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { parseScenario } from "../../src/scenario/index.js";

function refused(text: string, file = "s.yaml"): KlpemuError {
	try {
		parseScenario(text, file);
	} catch (error) {
		if (error instanceof KlpemuError) return error;
		throw error;
	}
	throw new Error("it is accepted");
}

test.each([
	["long f(long x) { return x; }", "f.c", "a C or assembly source"],
	["#include <linux/module.h>\nint x;", "f", "a C or assembly source"],
	["\x7fELF\x02\x01\x01\0\0", "f.o", "an object (ELF)"],
	["a\0b", "f", "a binary file"],
	['{"schema":1,"scenario":"x","results":[]}', "f.json", "a report of klpemu explore"],
	['{"schema":1,"scenario":"x","verdict":"consistent"}', "f.json", "a report of klpemu run"],
	["klpemu schedule 1\nscenario: x\n", "f.schedule", "a schedule"],
])("%j: %s is no scenario", (text, file, kind) => {
	const error = refused(text, file);
	expect([error.code, error.where]).toEqual(["SCENARIO_SYNTAX", file]);
	expect(error.reason).toContain(`not a scenario, but ${kind}`);
});

test("a scenario may be written in JSON, and a comment may speak of what it includes", () => {
	const text = '# include the header\n{"title":"t","vmlinux":["a.c"],"steps":["settle"]}';
	expect(parseScenario(text, "s.yaml").title).toBe("t");
});

test.each([
	["lists", `title: t\nvmlinux: ${"[".repeat(1000)}${"]".repeat(1000)}\n`],
	["lists, very deep", `title: t\nvmlinux: ${"[".repeat(50_000)}${"]".repeat(50_000)}\n`],
	["maps", `title: t\nvmlinux: ${"{a: ".repeat(1000)}1${"}".repeat(1000)}\n`],
	["blocks", `title: t\nsteps:\n${Array.from({ length: 1500 }, (_, i) => `${" ".repeat(i)}-\n`).join("")}`],
	["a list in itself", "title: t\nvmlinux: &a [*a]\n"],
])("%s that nest too deeply are an error with its place", (_, text) => {
	expect(refused(text)).toMatchObject({ code: "SCENARIO_SYNTAX", where: expect.stringMatching(/^s\.yaml:\d+:\d+$/) });
});

test("memory: an impossible size is refused", () => {
	const text = (memory: string) => `title: t\nvmlinux: [a.c]\nmemory: ${memory}\nsteps: [settle]\n`;
	expect(refused(text("4096 MiB")).reason).toContain("must be a size from 1 MiB to 4000 MiB");
	expect(parseScenario(text("4000 MiB"), "s.yaml").memory).toBe(4000 * 2 ** 20);
});
