import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Random } from "../../../src/base/index.js";

const folder = mkdtempSync(join(tmpdir(), "klpemu-kill-"));
const CLI = ["--import", "tsx", "src/node/cli/main.ts", "explore", "scenarios/hybrid-lp1-lp2-lp3.yaml"];
const OPTIONS = ["--design", "universe", "--json"];

afterAll(() => rmSync(folder, { recursive: true }));

/** `seconds`: after them the process is killed; undefined when it was. */
function explore(options: readonly string[], seconds: number): Promise<string | undefined> {
	const child = spawn(process.execPath, [...CLI, ...OPTIONS, ...options], { stdio: ["ignore", "pipe", "ignore"] });
	const timer = setTimeout(() => child.kill("SIGKILL"), 1000 * seconds);
	let text = "";
	child.stdout.on("data", (data) => {
		text += data;
	});
	return new Promise((resolve) => {
		child.on("close", (status) => {
			clearTimeout(timer);
			resolve(status === null ? undefined : text);
		});
	});
}

test("a search that is killed at random times, and resumed each time, ends like one that is not", async () => {
	const file = join(folder, "checkpoint");
	const random = new Random(19n);
	const told = (text: string | undefined) => {
		const [{ result, states, transitions, depth, expected, asExpected }] = JSON.parse(text!).results;
		return { result, states, transitions, depth, expected, asExpected };
	};
	const whole = told(await explore([], 600));
	let kills = 0;
	for (let ended: string | undefined; ended === undefined; ) {
		const from = existsSync(file) ? "--resume" : "--checkpoint";
		// At last it is left alone, however slow the machine is.
		ended = await explore([from, file, "--checkpoint-every", "0"], kills < 6 ? 2 + random.below(20) / 10 : 600);
		if (ended === undefined) kills++;
		else expect(told(ended)).toEqual(whole);
	}
	expect(kills).toBeGreaterThan(0);
}, 1_200_000);
