import { promises } from "node:fs";
import { basename, dirname, extname, join, resolve, sep } from "node:path";
import { KlpemuError, nearest, printable } from "../base/index.js";
import { PROJECT } from "./project.js";
import type { ToolLimits, ToolResult } from "./run-tool.js";
import { withTemporaryFolder } from "./temporary.js";

/** The headers that guest C sees; there are no others. */
export const INCLUDE = join(PROJECT, "asm", "include");

/** How kernel-style code is compiled. No absolute path may get into an object: objects of the repo are committed. */
export const CFLAGS: readonly string[] = [
	"-std=gnu11",
	"-O2",
	"-mcmodel=kernel",
	"-mno-red-zone",
	"-mgeneral-regs-only",
	"-fno-pic",
	"-fno-stack-protector",
	"-ffreestanding",
	"-fno-strict-aliasing",
	"-fno-common",
	"-pg",
	"-mfentry",
	"-mrecord-mcount",
	"-fasynchronous-unwind-tables",
	// Lines of the source, for stories. It changes no code.
	"-g1",
	"-gno-column-info",
	// The headers of the host belong to another kernel or to the C library.
	"-nostdinc",
	"-Wall",
	// As in the kernel's Makefile.
	"-Werror=implicit-function-declaration",
	"-Werror=implicit-int",
	"-Werror=incompatible-pointer-types",
	"-Werror=int-conversion",
	"-Werror=return-type",
	"-Werror=strict-prototypes",
	"-Werror=date-time",
	"-Werror=designated-init",
	"-Wno-pointer-sign",
	"-Wno-format-zero-length",
];

/** Limits of gcc; far above the needs of a livepatch's source. */
const LIMITS: ToolLimits = { cpuSeconds: 30, memoryKiB: 2 << 20, fileMiB: 64, wallSeconds: 120, outputBytes: 8 << 20 };
/** Lines of gcc's messages that are shown. */
const MAX_LINES = 100;

/** Variables that add folders, options or files to what gcc reads and writes. */
const GCC_VARIABLES =
	/^(CPATH|C_INCLUDE_PATH|CPLUS_INCLUDE_PATH|OBJC_INCLUDE_PATH|LIBRARY_PATH|COMPILER_PATH|GCC_.*|DEPENDENCIES_OUTPUT|SUNPRO_DEPENDENCIES|LANG|LC_.*|LANGUAGE|AS_OPTIONS)$/;

/** How one object is made. */
export interface ObjectOptions {
	/** Compile with -fcf-protection=branch: functions begin with endbr64. */
	readonly ibt?: boolean;
	/** A folder, besides those of the source and of klpemu, whose files the source may include: that of the scenario. */
	readonly folder?: string;
	/** With debug information, whose paths are those of this machine. The code is the same. */
	readonly debug?: boolean;
}

/** The flags for one variant. */
export function flagsFor(options: ObjectOptions): readonly string[] {
	return [...CFLAGS, `-fcf-protection=${options.ibt ? "branch" : "none"}`];
}

/**
 * Names that may stand on gcc's command line. gcc and its passes (cc1, as) read an argument that begins with `@` as a file of
 * further options, one of which runs a command, and one that begins with `-` as an option. The name also stands between the quotes
 * of KBUILD_MODNAME.
 */
const SAFE_NAME = /^[^@\-"\\\p{Cc}][^"\\\p{Cc}]*$/u;

function refuseUnsafeName(path: string): void {
	if (SAFE_NAME.test(basename(path))) return;
	throw new KlpemuError("SOURCE_NAME", `the file name ${JSON.stringify(basename(path))} is not given to a compiler`, {
		where: path,
		hint: "rename the file: no @ or - at the beginning, no quote, backslash or control character",
	});
}

/**
 * Compiles one source with gcc, and checks which files gcc has read before anything that it has made is used or shown.
 * Throws `SOURCE_NAME`, `GCC_MISSING`, `GCC_FAILED`, `GCC_INCLUDE`, `GCC_LIMIT`.
 */
export async function compile(path: string, options: ObjectOptions): Promise<{ bytes: Uint8Array; warnings: string }> {
	refuseUnsafeName(path);
	return withTemporaryFolder(async (folder) => {
		const [output, headers, dependencies] = ["out.o", "headers.d", "out.d"].map((name) => join(folder, name));
		const gcc = (...last: string[]) => runGcc(path, options, folder, last);
		const roots = await realpaths([dirname(path), PROJECT, ...(options.folder === undefined ? [] : [options.folder])]);
		const lists = ["-MD", "-MT", "object", "-MF", headers!, `-Wa,--MD,${dependencies}`];
		const compiled = await gcc(...lists, "-c", basename(path), "-o", output!);
		if (compiled.status !== 0 || !(await allInside(path, headers!, roots))) {
			// The preprocessor's output says who includes what. A failed compiler may not have written its list.
			const preprocessed = await gcc("-E", basename(path));
			await checkFiles(path, includesIn(preprocessed.stdout), roots);
			if (preprocessed.status !== 0) throw await failure(path, preprocessed);
		}
		// The assembler reads files, too: .include and .incbin. If it fails, its messages name them.
		const read = await promises.readFile(dependencies!, "utf8").catch(() => "");
		const named = [...compiled.stderr.matchAll(/^([^\s:]+):\d+: (?:Error|Warning)/gm)].map(([, file]) => file!);
		const files = [...dependenciesIn(read), ...named].filter((file) => !file.startsWith(folder));
		await checkFiles(path, new Map(files.map((file) => [file, basename(path)])), roots);
		if (compiled.status !== 0) throw await failure(path, compiled);
		return { bytes: new Uint8Array(await promises.readFile(output!)), warnings: shortened(compiled.stderr) };
	});
}

/** Whether all files of gcc's list lie in the folders. False also where a name cannot be read back from the list. */
async function allInside(path: string, list: string, roots: readonly string[]): Promise<boolean> {
	const text = await promises.readFile(list, "utf8").catch(() => undefined);
	// A backslash in a name stands in the list as it is, and in front of some characters as an escape.
	if (text === undefined || /\\(?!\n)/.test(text)) return false;
	const inside = await Promise.all(dependenciesIn(text).map((file) => isInside(path, file, roots)));
	return inside.every((is) => is);
}

async function runGcc(
	path: string,
	options: ObjectOptions,
	folder: string,
	last: readonly string[],
): Promise<ToolResult> {
	// Relative paths from the source's folder, so that the object does not contain the path of the build.
	// A debugger needs the path.
	const prefixes = options.debug
		? ["-g"]
		: [`-ffile-prefix-map=${INCLUDE}=./include`, `-ffile-prefix-map=${dirname(path)}=.`];
	// The module's name by the rule of kbuild; only sources that are modules use it.
	const modname = `-DKBUILD_MODNAME="${basename(path, extname(path)).replaceAll("-", "_")}"`;
	const messages = ["-fmax-errors=20", "-fdiagnostics-color=never"];
	const cc = process.env.CC ?? "gcc";
	const command = [cc, ...flagsFor(options), ...messages, modname, ...prefixes, "-I", INCLUDE, ...last];
	const kept = Object.entries(process.env).filter(([name]) => !GCC_VARIABLES.test(name));
	const env = { ...Object.fromEntries(kept), LC_ALL: "C", TMPDIR: folder };
	// Most runs need no process: committed objects are read.
	const { runTool } = await import("./run-tool.js");
	const result = await runTool(command, { cwd: dirname(path), env, limits: LIMITS });
	if (result.status === 127) {
		throw new KlpemuError("GCC_MISSING", `'${path}' must be compiled, and there is no gcc`, {
			where: path,
			hint: "apt-get install -y gcc, or give an object (.o) instead",
		});
	}
	if (
		result.exceeded !== undefined ||
		/\b(terminated program|limit exceeded)\b|out of memory|memory exhausted/.test(result.stderr)
	) {
		const { cpuSeconds, wallSeconds, memoryKiB, fileMiB, outputBytes } = LIMITS;
		const limits = `${cpuSeconds} s of CPU time, ${wallSeconds} s in all, ${memoryKiB >> 20} GiB of memory, ${fileMiB} MiB for the object, ${outputBytes >> 20} MiB of text`;
		throw new KlpemuError("GCC_LIMIT", `gcc needs more than it is given for '${path}' (${limits})`, {
			where: path,
			hint: "make the source smaller, or compile it yourself and give the object (.o)",
		});
	}
	return result;
}

/** Files that a preprocessed text comes from, each with the file that includes it (GNU cpp, "Preprocessor Output"). */
function includesIn(text: string): ReadonlyMap<string, string> {
	const files = new Map<string, string>();
	const stack: string[] = [];
	for (const [, quoted, flags] of text.matchAll(/^# \d+ "((?:[^"\\\n]|\\.)*)"((?: \d)*)$/gm)) {
		const file = quoted!.replace(/\\([0-7]{3}|.)/g, (_all, code: string) =>
			code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : code,
		);
		const known = file.startsWith("<") || file.endsWith("//");
		if (flags!.includes(" 1")) {
			if (!known && !files.has(file)) files.set(file, stack.at(-1) ?? "the source");
			stack.push(file);
		} else if (flags!.includes(" 2")) {
			stack.pop();
		} else stack.splice(-1, 1, file);
	}
	return files;
}

/** The prerequisites in a rule that the assembler has written for make. */
function dependenciesIn(text: string): string[] {
	return text
		.replace(/\\\n/g, " ")
		.split("\n")
		.flatMap((rule) => rule.replace(/^(?:[^\\:]|\\.)*:/, "").split(/(?<!\\)\s+/))
		.filter((name) => name !== "")
		.map((name) => name.replace(/\\(.)/g, "$1").replaceAll("$$", "$"));
}

/** The real paths of folders, those that exist. */
async function realpaths(folders: readonly string[]): Promise<string[]> {
	const all = await Promise.all(folders.map((folder) => promises.realpath(folder).catch(() => undefined)));
	return [...new Set(all.filter((folder) => folder !== undefined))];
}

/** Throws `GCC_INCLUDE` for a file that lies in none of the folders. `files`: each with the file that includes it. */
async function checkFiles(path: string, files: ReadonlyMap<string, string>, roots: readonly string[]): Promise<void> {
	for (const [file, includer] of files) {
		if (await isInside(path, file, roots)) continue;
		throw new KlpemuError(
			"GCC_INCLUDE",
			`${includer} includes '${file}', which lies outside of the scenario's folder`,
			{
				where: path,
				hint: `a source may include files of its own folder, of the scenario's and of klpemu (${roots.join(", ")})`,
			},
		);
	}
}

/** Whether a file that the source reads lies in one of the folders. */
async function isInside(path: string, file: string, roots: readonly string[]): Promise<boolean> {
	const real = await promises.realpath(resolve(dirname(path), file)).catch(() => resolve(dirname(path), file));
	return roots.some((root) => real.startsWith(root.endsWith(sep) ? root : root + sep));
}

/** The messages of gcc, with visible control characters, cut after some lines. */
function shortened(stderr: string): string {
	const lines = printable(stderr.trim()).split("\n");
	const rest = lines.length - MAX_LINES;
	return rest > 0 ? [...lines.slice(0, MAX_LINES), `(${rest} more lines)`].join("\n") : lines.join("\n");
}

async function failure(path: string, { stderr, status }: ToolResult): Promise<KlpemuError> {
	const said = shortened(stderr) || `gcc ends with status ${status}`;
	return new KlpemuError("GCC_FAILED", `gcc does not compile '${path}':\n${said}`, {
		where: path,
		hint: await hintFor(stderr),
	});
}

/** A replacement for a missing header or function. */
async function hintFor(stderr: string): Promise<string | undefined> {
	const header = /fatal error: (\S+): No such file or directory/.exec(stderr)?.[1];
	if (header !== undefined) {
		const headers = await headersIn(INCLUDE);
		const near = nearest(header, headers);
		const list = `asm/include has ${headers.join(", ")}`;
		return near === undefined ? list : `did you mean <${near}>? ${list}`;
	}
	const name = /implicit declaration of function '([A-Za-z_]\w*)'/.exec(stderr)?.[1];
	if (name === undefined) return undefined;
	const declared = new RegExp(`^(?!\\s).*\\b${name}\\(|^#\\s*define\\s+${name}\\b`, "m");
	for (const candidate of await headersIn(INCLUDE)) {
		if (declared.test(await promises.readFile(join(INCLUDE, candidate), "utf8")))
			return `#include <${candidate}> declares ${name}()`;
	}
	return `no header of asm/include declares ${name}()`;
}

async function headersIn(folder: string): Promise<string[]> {
	const names = await promises.readdir(folder, { recursive: true });
	return names
		.map((name) => name.split(sep).join("/"))
		.filter((name) => name.endsWith(".h"))
		.sort();
}
