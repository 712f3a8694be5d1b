#!/usr/bin/env node
import { runCli, runThread } from "./app.js";
import { EXIT, THREAD } from "./command.js";

// `klpemu run ... | head` closes the pipe early, which is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
	if (error.code === "EPIPE") process.exit(0);
	process.stderr.write(`klpemu: cannot write to standard output: ${error.code ?? error.message}\n`);
	process.exit(EXIT.badInput);
});

// What is told there is lost; the exit status is not.
process.stderr.on("error", () => {});

// V8 spends a quarter of a run on optimising functions that the run is done with soon: it is to begin later than the 67,584 bytes of
// bytecode of its default. Set when the command is loaded: V8 refuses the code cache of other flags, so that commands with threads keep
// theirs. The V8 of Node 22 and later counts calls, has no such flag, and would print that.
if (process.argv[2] === "run" && process.versions.v8.startsWith("11."))
	process.getBuiltinModule("node:v8").setFlagsFromString("--interrupt-budget=500000");

// Some 2 ms, which only a thread needs.
const thread = process.argv[2] === THREAD ? process.getBuiltinModule("node:worker_threads") : undefined;

if (thread === undefined || thread.parentPort === null) {
	// Stays if the command waits for what never comes: node ends when nothing is left to do.
	process.exitCode = EXIT.bug;
	// exitCode and not exit(): output to a pipe may still be on its way. runCli() never throws.
	void runCli(process.argv.slice(2), process).then((status) => {
		process.exitCode = status;
	});
} else {
	void runThread(thread.parentPort, thread.workerData);
}
