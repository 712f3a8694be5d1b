import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Random } from "../../../src/base/index.js";
import { bundled } from "../../support/bundled.js";

const folder = mkdtempSync(join(tmpdir(), "klpemu-kill-"));
const OPTIONS = ["explore", "scenarios/hybrid-lp1-lp2-lp3.yaml", "--design", "universe", "--json"];
let command = "";

beforeAll(async () => {
	command = await bundled("explore-kill");
});
afterAll(() => rmSync(folder, { recursive: true }));

/** `ready`: when it resolves, the process is killed. Undefined when it was. */
async function explore(options: readonly string[], ready?: () => Promise<void>): Promise<string | undefined> {
	const child = spawn(process.execPath, [command, ...OPTIONS, ...options], { stdio: ["ignore", "pipe", "ignore"] });
	let text = "";
	child.stdout.on("data", (data) => {
		text += data;
	});
	const closed = once(child, "close");
	if (ready !== undefined) {
		await Promise.race([ready(), closed]);
		child.kill("SIGKILL");
	}
	const [status] = await closed;
	return status === null ? undefined : text;
}

/** A checkpoint was saved some milliseconds ago. It goes by what the search does: time from its start says nothing. */
async function saved(file: string, milliseconds: number): Promise<void> {
	const inode = () => (existsSync(file) ? statSync(file).ino : 0);
	const before = inode();
	while (inode() === before) await setTimeout(1);
	await setTimeout(milliseconds);
}

test("a search that is killed at random times, and resumed each time, ends like one that is not", async () => {
	const file = join(folder, "checkpoint");
	const random = new Random(19n);
	const told = (text: string | undefined) => {
		const [{ result, states, transitions, depth, expected, asExpected }] = JSON.parse(text!).results;
		return { result, states, transitions, depth, expected, asExpected };
	};
	const whole = told(await explore([]));
	for (let kills = 0; kills < 4; kills++) {
		const from = existsSync(file) ? "--resume" : "--checkpoint";
		const ready = () => saved(file, random.below(6));
		expect(await explore([from, file, "--checkpoint-every", "0"], ready)).toBeUndefined();
	}
	expect(told(await explore(["--resume", file]))).toEqual(whole);
}, 1_200_000);
