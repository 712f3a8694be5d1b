import { Readable } from "node:stream";
import { type Io, runCli } from "../../src/node/cli/index.js";

/** Runs the command line in this process, and keeps what it prints. */
export async function cliOf(
	argv: readonly string[],
	given: {
		readonly env?: Io["env"];
		readonly entries?: Parameters<typeof runCli>[2];
		readonly onOutput?: (text: string) => void;
	} = {},
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
	const printed = { stdout: "", stderr: "" };
	const output = (name: keyof typeof printed) => ({
		write: (text: string) => {
			printed[name] += text;
			given.onOutput?.(text);
		},
	});
	const io = { stdin: Readable.from([]), stdout: output("stdout"), stderr: output("stderr"), env: given.env ?? {} };
	return { status: await runCli(argv, io, given.entries), ...printed };
}
