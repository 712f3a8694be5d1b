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
	if (result.status === 127) {
		throw new KlpemuError("TOOL_MISSING", `there is no '${name}', which the build needs`, {
			hint: `apt-get install -y ${PACKAGES[name] ?? name}`,
		});
	}
	if (result.exceeded !== undefined) {
		throw new KlpemuError("TOOL_LIMIT", `'${name}' needs more than it is given (${result.exceeded})`);
	}
	return result;
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
