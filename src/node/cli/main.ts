#!/usr/bin/env node
import { runCli } from "./app.js";

// `klpemu run ... | head` closes the pipe early, which is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
	if (error.code === "EPIPE") process.exit(0);
	throw error;
});

// exitCode and not exit(): output to a pipe may still be on its way.
process.exitCode = await runCli(process.argv.slice(2), process);
