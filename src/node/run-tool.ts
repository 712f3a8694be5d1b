import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import { whenProcessEnds } from "./process-end.js";

/** Limits of a tool. The first three apply to each of its processes. */
export interface ToolLimits {
	/** Seconds of CPU time. */
	readonly cpuSeconds: number;
	/** Address space, in KiB. */
	readonly memoryKiB: number;
	/** Size of a file that it writes, in MiB. */
	readonly fileMiB: number;
	/** Seconds until all of it must have ended. */
	readonly wallSeconds: number;
	/** Bytes of standard output, and of standard error. */
	readonly outputBytes: number;
}

export interface ToolResult {
	/** Exit status; 128 + the signal's number if a signal has ended it; 127: there is no such program. */
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
	/** True if it was ended because it ran longer, or wrote more, than the limits allow. */
	readonly exceeded: "time" | "output" | undefined;
}

/**
 * Sets the limits, then the tool takes the shell's place. The shell never parses the tool's arguments. A limit that a host does not
 * have is left out. Sizes of files are in blocks of 512 bytes.
 */
const SHELL = `
ulimit -f $(( $1 * 2048 )) 2>/dev/null
ulimit -t "$2" 2>/dev/null
ulimit -v "$3" 2>/dev/null
ulimit -c 0 2>/dev/null
shift 3
exec "$@"`;

/** Runs a program with limits, in a process group of its own, which ends when this process ends. Rejects if it cannot be started. */
export function runTool(
	command: readonly string[],
	options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv; readonly limits: ToolLimits },
): Promise<ToolResult> {
	const { limits } = options;
	const numbers = [limits.fileMiB, limits.cpuSeconds, limits.memoryKiB].map(String);
	const child = spawn("/bin/sh", ["-c", SHELL, "sh", ...numbers, ...command], {
		cwd: options.cwd,
		env: options.env,
		stdio: ["ignore", "pipe", "pipe"],
		detached: true,
	});
	return new Promise((resolve, reject) => {
		let exceeded: ToolResult["exceeded"];
		const stop = (why: ToolResult["exceeded"]) => {
			exceeded ??= why;
			killGroup(child);
		};
		const timer = setTimeout(() => stop("time"), limits.wallSeconds * 1000);
		const letGo = whenProcessEnds(() => killGroup(child), { first: true });
		const stdout = collect(child.stdout, limits.outputBytes, () => stop("output"));
		const stderr = collect(child.stderr, limits.outputBytes, () => stop("output"));
		const end = (): void => {
			clearTimeout(timer);
			void letGo();
		};
		child.on("error", (error) => {
			end();
			reject(error);
		});
		child.on("close", (code, signal) => {
			end();
			const status = code ?? 128 + constants.signals[signal!];
			resolve({ status, stdout: stdout(), stderr: stderr(), exceeded });
		});
	});
}

/** The text of a stream; `full` is called when it is longer than `limit`, and the rest is dropped. */
function collect(stream: Readable, limit: number, full: () => void): () => string {
	const chunks: Buffer[] = [];
	let size = 0;
	stream.on("data", (chunk: Buffer) => {
		if (size < limit) chunks.push(chunk.subarray(0, limit - size));
		size += chunk.length;
		if (size > limit) full();
	});
	return () => Buffer.concat(chunks).toString("utf8");
}

function killGroup({ pid }: ChildProcess): void {
	if (pid === undefined) return;
	try {
		process.kill(-pid, "SIGKILL");
	} catch {
		// The process has ended itself.
	}
}
