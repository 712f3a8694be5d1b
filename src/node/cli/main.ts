#!/usr/bin/env node
import { hintBranches } from "../v8-flags.js";
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

/**
 * V8 spends a quarter of a run, and of a short search, on optimising functions that it is done with soon: it is to begin later than the
 * 67,584 bytes of bytecode of its default. The V8 of Node 22 and later counts calls, has no such flag, and would print that.
 */
function optimiseLater(bytes: number): void {
	if (!process.versions.v8.startsWith("11.")) return;
	process.getBuiltinModule("node:v8").setFlagsFromString(`--interrupt-budget=${bytes}`);
}

// When the command is loaded: V8 refuses the code cache of other flags. They are those of all threads, so that a search which starts some
// leaves it to them.
const [, , command, ...rest] = process.argv;
const startsThreads = rest.some((word) => word === "--all-designs" || word.startsWith("--workers"));
if (command === "run" || command === "exec") hintBranches();
if (command === "run") optimiseLater(500_000);
else if (command === THREAD || (command === "explore" && !startsThreads)) optimiseLater(400_000);

// Some 2 ms, which only a thread needs.
const thread = command === THREAD ? process.getBuiltinModule("node:worker_threads") : undefined;

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
