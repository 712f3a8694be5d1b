/** klpemu explore --workers, as a process: threads make no difference but for the time. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const CLI = ["--import", "tsx", "src/node/cli/main.ts", "explore"];
const HYBRID = "scenarios/hybrid-lp1-lp2-lp3.yaml";
const folder = mkdtempSync(join(tmpdir(), "klpemu-workers-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** `signal`: sent when the process has said how far it is. */
async function explore(options: readonly string[], signal?: NodeJS.Signals) {
	const child = spawn(process.execPath, [...CLI, ...options], { stdio: ["ignore", "pipe", "pipe"] });
	let [stdout, stderr] = ["", ""];
	child.stdout.on("data", (data) => {
		stdout += data;
	});
	child.stderr.on("data", (data) => {
		if (stderr === "" && signal !== undefined) child.kill(signal);
		stderr += data;
	});
	const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
	return { status, stdout, stderr };
}

function resultsOf(json: string): { design: string; result: string; reason?: string }[] {
	return JSON.parse(json).results.map(({ seconds: _, file: _file, ...row }: Record<string, unknown>) => row);
}

test("--all-designs: 1, 2 and 3 workers have the same table, schedules and files, and all of them are busy", async () => {
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
	const searched = (text: string) => new Set(text.match(/^[\w-]+(?=: \d+ states)/gm)?.slice(0, 6));
	expect(searched(found[2]!.stderr).size).toBeGreaterThan(1);
}, 300_000);

test("Ctrl-C, --time and --memory end the searches of all threads; what they know is told, in order", async () => {
	const options = [HYBRID, "--all-designs", "--no-reduction", "--workers", "2", "--json"];
	const stopped = await explore(options, "SIGINT");
	expect(stopped.status).toBe(3);
	const begun = resultsOf(stopped.stdout);
	expect(begun[0]).toMatchObject({ design: "mainline", result: "bounded" });
	expect(begun.length).toBeLessThanOrEqual(2);
	const timed = await explore([...options, "--time", "3"]);
	expect(resultsOf(timed.stdout).map(({ result }) => result)).toContain("bounded");
	const full = await explore([...options, "--memory", "150"]);
	const ended = resultsOf(full.stdout).find(({ result }) => result === "bounded");
	expect(ended?.reason).toBe("it has used the 150 MiB of --memory");
}, 300_000);

test("a mistake in one design's part of the scenario is told as if there were no threads", async () => {
	const file = join(folder, "bad.yaml");
	const text = `vmlinux: [missing.c]\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ run: 1 }]\n`;
	writeFileSync(file, text);
	const [one, two] = [await explore([file, "--all-designs", "--workers", "1"]), await explore([file, "--all-designs"])];
	expect(one.status).toBe(2);
	expect(two).toEqual(one);
}, 60_000);
