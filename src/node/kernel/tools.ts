import { availableParallelism } from "node:os";
import { KlpemuError, printable } from "../../base/index.js";
import { runTool, type ToolResult } from "../run-tool.js";

const LIMITS = { cpuSeconds: 300, memoryKiB: 8 << 20, fileMiB: 1 << 10, wallSeconds: 600, outputBytes: 16 << 20 };
/** Lines of a tool's messages that are shown. */
const MAX_LINES = 60;

/** Debian's package of each tool, where it does not have the tool's name. */
const PACKAGES: Readonly<Record<string, string>> = { ld: "binutils", objcopy: "binutils" };

/**
 * Runs a tool of the build in `folder`. Nothing of the environment reaches it but PATH: Kbuild and gcc obey many variables. No shell
 * parses the arguments. xz unpacks on all CPUs. Throws `TOOL_MISSING`, `TOOL_LIMIT`.
 */
export async function tool(folder: string, command: readonly [string, ...string[]]): Promise<ToolResult> {
	const [name] = command;
	const env = { PATH: process.env.PATH, LC_ALL: "C", TMPDIR: folder, HOME: folder, XZ_DEFAULTS: "-T0" };
	const result = await runTool(command, { cwd: folder, env, limits: LIMITS });
	if (result.status === 127) throw missing(name);
	if (result.exceeded !== undefined) {
		throw new KlpemuError("TOOL_LIMIT", `'${name}' needs more than it is given (${result.exceeded})`);
	}
	return result;
}

function missing(name: string): KlpemuError {
	// Debian's names of compilers and binutils begin with the architecture.
	const short = name.replace(/^x86_64-linux-gnu-/, "");
	return new KlpemuError("TOOL_MISSING", `there is no '${name}', which the build needs`, {
		hint: `apt-get install -y ${PACKAGES[short] ?? short}`,
	});
}

/** Runs make. Throws `KBUILD_FAILED` with the words of the compiler, `TOOL_MISSING` also for a tool that make does not find. */
export async function make(folder: string, headers: string, variables: readonly string[], targets: readonly string[]) {
	const jobs = `-j${availableParallelism()}`;
	const { status, stderr } = await tool(folder, ["make", jobs, "-C", headers, ...variables, ...targets]);
	const said = stderr.split("\n").filter((line) => line.trim() !== "" && !/^make(\[\d+\])?:/.test(line));
	if (status === 0) return said.map((line) => line.replaceAll(`${folder}/`, ""));
	const absent = /^\S*sh: \d+: (\S+): not found$/m.exec(stderr)?.[1];
	if (absent !== undefined) throw missing(absent);
	const words = shown(folder, said.join("\n") || stderr);
	throw new KlpemuError("KBUILD_FAILED", `the kernel's build does not compile it:\n${words}`, { where: headers });
}

/** As {@link tool}, for one that must succeed. Throws `TOOL_FAILED` too. */
export async function mustRun(folder: string, command: readonly [string, ...string[]]): Promise<ToolResult> {
	const result = await tool(folder, command);
	if (result.status === 0) return result;
	throw new KlpemuError("TOOL_FAILED", `'${command[0]}' fails:\n${shown(folder, result.stderr || result.stdout)}`);
}

/** Messages of a tool without the temporary folder in them, cut after some lines. */
export function shown(folder: string, text: string): string {
	const lines = printable(text.replaceAll(`${folder}/`, "").trim()).split("\n");
	const rest = lines.length - MAX_LINES;
	return rest > 0 ? [...lines.slice(0, MAX_LINES), `(${rest} more lines)`].join("\n") : lines.join("\n");
}
