/** klpemu explore --workers, as a process: threads make no difference but for the time. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { designs } from "../../../src/designs/index.js";
import { bundled } from "../../support/bundled.js";
import { ENDLESS, WITHOUT_END } from "../../support/small-scenario.js";

const HYBRID = "scenarios/hybrid-lp1-lp2-lp3.yaml";
const folder = mkdtempSync(join(tmpdir(), "klpemu-workers-"));
let command = "";
beforeAll(async () => {
	command = await bundled("workers");
});
afterAll(() => rmSync(folder, { recursive: true }));

const searched = (text: string) => new Set(text.match(/^[\w-]+(?=: \d+ states)/gm));

/** `signal`: sent when the process has said how far so many searches are. */
async function explore(options: readonly string[], signal?: NodeJS.Signals, searches = 2) {
	const child = spawn(process.execPath, [command, "explore", ...options], { stdio: ["ignore", "pipe", "pipe"] });
	let [stdout, stderr, sent] = ["", "", false];
	child.stdout.on("data", (data) => {
		stdout += data;
	});
	child.stderr.on("data", (data) => {
		stderr += data;
		// Once: a second one ends the process at once.
		if (signal === undefined || sent || searched(stderr).size < searches) return;
		sent = child.kill(signal);
	});
	const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
	return { status, stdout, stderr };
}

function resultsOf(json: string): { design: string; result: string; reason?: string }[] {
	return JSON.parse(json).results.map(({ seconds: _, file: _file, ...row }: Record<string, unknown>) => row);
}

test("--all-designs: 1, 2 and 3 workers have the same table, schedules and files", async () => {
	const found = [];
	for (const workers of ["1", "2", "3"]) {
		const save = join(folder, workers);
		found.push({
			...(await explore([HYBRID, "--all-designs", "--workers", workers, "--json", "--save", save])),
			files: readdirSync(save),
		});
	}
	const [one, ...others] = found.map(({ status, stdout, files }) => ({ status, files, results: resultsOf(stdout) }));
	expect(one!.results.map(({ result }) => result)).toContain("violated");
	for (const other of others) expect(other).toEqual(one);
});

test("Ctrl-C, --time and --memory end the searches of all threads; what they know is told, in order", async () => {
	const file = join(folder, "endless.yaml");
	writeFileSync(file, ENDLESS);
	const options = [file, "--all-designs", "--workers", "2", ...WITHOUT_END, "--json"];
	// Both threads are busy: neither search ends, and each has said how far it is.
	const stopped = await explore(options, "SIGINT");
	const begun = resultsOf(stopped.stdout).map(({ design, result }) => [design, result]);
	// The second thread takes designs from the end of the list.
	expect([stopped.status, begun]).toEqual([3, [designs[0]!, designs.at(-1)!].map(({ name }) => [name, "bounded"])]);
	const ended = async (...limit: string[]) => {
		const { status, stdout } = await explore([...options, ...limit]);
		expect(status).toBe(3);
		return resultsOf(stdout).map(({ design, result, reason }) => [design, result, reason]);
	};
	expect(await ended("--time", "1")).toEqual(designs.map(({ name }) => [name, "bounded", undefined]));
	const reason = "it has used the 1 MiB of --memory";
	expect(await ended("--memory", "1")).toEqual(designs.map(({ name }) => [name, "bounded", reason]));
});

test("one design: 1 and 3 workers have the same row", async () => {
	// Enough to execute for threads to start.
	const options = ["scenarios/family/module-comes.yaml", "--design", "mainline", "--budget", "12000", "--json"];
	const one = await explore([...options, "--workers", "1"]);
	const three = await explore([...options, "--workers", "3"]);
	expect(three.stderr).not.toContain("has ended");
	expect([one.status, resultsOf(one.stdout)]).toEqual([3, [expect.objectContaining({ states: 12_000 })]]);
	expect([three.status, resultsOf(three.stdout)]).toEqual([3, resultsOf(one.stdout)]);
});

test("one design: Ctrl-C, --time and --memory end a search with workers, and what is known is told", async () => {
	const file = join(folder, "endless.yaml");
	writeFileSync(file, ENDLESS);
	const options = [file, "--design", "mainline", ...WITHOUT_END, "--workers", "2", "--json"];
	const stopped = await explore(options, "SIGINT", 1);
	const bounded = { design: "mainline", result: "bounded" };
	expect([stopped.status, resultsOf(stopped.stdout)]).toEqual([3, [expect.objectContaining(bounded)]]);
	const ended = async (...limit: string[]) => resultsOf((await explore([...options, ...limit])).stdout);
	expect(await ended("--time", "1")).toEqual([expect.objectContaining(bounded)]);
	const reason = "it has used the 1 MiB of --memory";
	expect(await ended("--memory", "1")).toEqual([expect.objectContaining({ ...bounded, reason })]);
});

test("a mistake in one design's part of the scenario is told as if there were no threads", async () => {
	const file = join(folder, "bad.yaml");
	const text = `vmlinux: [missing.c]\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ run: 1 }]\n`;
	writeFileSync(file, text);
	const [one, two] = [await explore([file, "--all-designs", "--workers", "1"]), await explore([file, "--all-designs"])];
	expect(one.status).toBe(2);
	expect(two).toEqual(one);
});
