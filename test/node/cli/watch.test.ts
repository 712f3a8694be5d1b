import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runAndWatch } from "../../../src/node/cli/watch.js";
import { cliOf } from "../../support/cli.js";

const folder = mkdtempSync(join(tmpdir(), "klpemu-watch-"));
const file = join(folder, "a.yaml");

/** A run that waits for each of `acts` in turn: each changes something, and the next run must begin. */
async function runsAfter(acts: readonly (() => void)[]): Promise<{ runs: number; status: number }> {
	const control = new AbortController();
	let runs = 0;
	const status = await runAndWatch(
		async (reads) => {
			reads(file);
			const act = acts[runs++];
			if (act === undefined) control.abort();
			else setTimeout(act, 20);
			return runs;
		},
		control.signal,
		50,
	);
	return { runs, status };
}

test("runs again when a file is written, replaced, removed and made again; the status is the last one's", async () => {
	writeFileSync(file, "1");
	const acts = [
		() => writeFileSync(file, "2"),
		// An editor writes another file, and gives it the name.
		() => {
			writeFileSync(join(folder, "tmp"), "3");
			renameSync(join(folder, "tmp"), file);
		},
		() => writeFileSync(file, "4"),
		() => rmSync(file),
		() => writeFileSync(file, "5"),
		() => writeFileSync(join(folder, "header.h"), ""),
	];
	expect(await runsAfter(acts)).toEqual({ runs: 7, status: 7 });
});

test("many writes are one change, and other files are none", async () => {
	const control = new AbortController();
	let runs = 0;
	await runAndWatch(
		async (reads) => {
			reads(file);
			runs++;
			if (runs === 1) {
				writeFileSync(join(folder, "other"), "");
				let writes = 0;
				const timer = setInterval(() => {
					writeFileSync(file, String(writes));
					if (++writes === 10) clearInterval(timer);
				}, 5);
				setTimeout(() => control.abort(), 800);
			}
			return 0;
		},
		control.signal,
		250,
	);
	expect(runs).toBe(2);
});

test("run --watch: errors in the scenario wait for the next change; SIGINT ends with the last status", async () => {
	writeFileSync(file, "nonsense: [");
	const good = `title: Small\nvmlinux: [asm/vmlinux/funcs.c]\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ run: 1 }]\n`;
	let text = "";
	let stage = 0;
	const { status, stderr } = await cliOf(["run", file, "--watch"], {
		onOutput: (more) => {
			text += more;
			if (stage === 0 && text.includes("status 2; waiting")) {
				stage = 1;
				setTimeout(() => writeFileSync(file, good), 10);
			}
			if (stage === 1 && text.includes("status 0; waiting")) {
				stage = 2;
				setTimeout(() => process.emit("SIGINT"), 10);
			}
		},
	});
	expect(status).toBe(0);
	expect(stderr).toContain("status 2; waiting for a change");
	expect(stderr).toContain("status 0; waiting for a change");
});
