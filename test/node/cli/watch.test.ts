import { mkdtempSync, renameSync, rmSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
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
			else setImmediate(act);
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
	// Time stands still, so that no machine is too slow for what happens within these milliseconds.
	vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
	try {
		const ended = runAndWatch(
			async (reads) => {
				reads(file);
				return ++runs;
			},
			control.signal,
			250,
		);
		/** Writes a file, and waits until whoever watches the folder has been told. */
		const write = async (name: string) => {
			const told = new Promise<void>((resolve) => {
				const watcher = watch(folder, (_event, changed) => {
					if (changed !== name) return;
					watcher.close();
					resolve();
				});
			});
			writeFileSync(join(folder, name), String(runs));
			await told;
			await new Promise((resolve) => setImmediate(resolve));
		};
		await write("other");
		expect(vi.getTimerCount()).toBe(0);
		for (let i = 0; i < 10; i++) {
			await write("a.yaml");
			vi.advanceTimersByTime(249);
		}
		expect([runs, vi.getTimerCount()]).toEqual([1, 1]);
		vi.advanceTimersByTime(1);
		await expect.poll(() => runs).toBe(2);
		control.abort();
		expect([await ended, vi.getTimerCount()]).toEqual([2, 0]);
	} finally {
		vi.useRealTimers();
	}
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
				setImmediate(() => writeFileSync(file, good));
			}
			if (stage === 1 && text.includes("status 0; waiting")) {
				stage = 2;
				setImmediate(() => process.emit("SIGINT"));
			}
		},
	});
	expect(status).toBe(0);
	expect(stderr).toContain("status 2; waiting for a change");
	expect(stderr).toContain("status 0; waiting for a change");
});
