/**
 * A worker of a queue, for tests that kill it: `queue-worker.ts URL FOLDER LOCK`. Its searches are no searches: each writes a line to
 * FOLDER/begun and waits while FOLDER/wait is there.
 */
import { serveQueue } from "../../src/node/campaign/index.js";

const [url, folder, lock] = process.argv.slice(2) as [string, string, string];

const search = `const fs = require("node:fs"), folder = ${JSON.stringify(folder)};
	require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
		const { id, job } = JSON.parse(line);
		fs.appendFileSync(folder + "/begun", job.variant + "\\n");
		if (job.variant === "universe" && fs.existsSync(folder + "/hang")) for (;;);
		const answer = () => {
			if (fs.existsSync(folder + "/wait")) return setTimeout(answer, 20);
			const row = { design: job.variant, result: "complete", invariant: null, message: null, scheduleLength: null };
			const more = { states: 1, transitions: 1, depth: 1, seconds: 1, asExpected: true, schedule: null };
			console.log(JSON.stringify({ id, result: { rows: [{ ...row, ...more }] } }));
		};
		answer();
	});`;

const stopped = new Promise<void>((resolve) => process.on("SIGTERM", () => resolve()));
const onNotice = (text: string) => process.stderr.write(`${text}\n`);
await serveQueue(url, [process.execPath, "-e", search], 1, { onNotice }, stopped, { lock: Number(lock), grace: 1 });
