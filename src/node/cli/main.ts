#!/usr/bin/env node
import { parentPort, workerData } from "node:worker_threads";
import { runCli, runThread } from "./app.js";
import { EXIT } from "./command.js";

// `klpemu run ... | head` closes the pipe early, which is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
	if (error.code === "EPIPE") process.exit(0);
	process.stderr.write(`klpemu: cannot write to standard output: ${error.code ?? error.message}\n`);
	process.exit(EXIT.badInput);
});

// What is told there is lost; the exit status is not.
process.stderr.on("error", () => {});

if (parentPort === null) {
	// Stays if the command waits for what never comes: node ends when nothing is left to do.
	process.exitCode = EXIT.bug;
	// exitCode and not exit(): output to a pipe may still be on its way. runCli() never throws.
	void runCli(process.argv.slice(2), process).then((status) => {
		process.exitCode = status;
	});
} else {
	void runThread(parentPort, workerData);
}
