// promises, not node:fs/promises: that is loaded with the first use, and most commands need none.
import { constants, promises, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { beginsWith, ELF_MAGIC, KlpemuError } from "../base/index.js";
import type { FileReader } from "../scenario/index.js";
import { whenProcessEnds } from "./process-end.js";
import { PROJECT } from "./project.js";

/** The largest file that is read; larger than any kernel with its debug information. */
const MAX_FILE = 2 ** 31 - 1;

/** The content, or undefined if there is no such file. Throws `FILE_UNREADABLE`. */
export function readIfThere(path: string): Promise<Uint8Array | undefined> {
	return ifThere(path, async () => {
		// Synchronous: the files are small, and each step in the pool of threads takes longer than they do.
		const { size, isFile } = kindOf(path);
		// A device or a pipe has no end, or does not give anything for ever.
		if (!isFile) throw unreadable(path, "it is no regular file; write its content to one");
		if (size > MAX_FILE) throw unreadable(path, `it has ${size} bytes, at most ${MAX_FILE} are read`);
		return readFileSync(path);
	});
}

function kindOf(path: string): { size: number; isFile: boolean } {
	const found = statSync(path);
	if (found.isDirectory()) throw unreadable(path, "it is a folder");
	return { size: found.size, isFile: found.isFile() };
}

/** A scenario or a schedule. `missing`: the hint if there is none. Throws `FILE_MISSING`, `SCENARIO_SYNTAX`. */
export async function readText(file: string, missing = "scenarios/ has ready scenarios"): Promise<string> {
	const bytes = await readIfThere(file);
	if (bytes === undefined) throw new KlpemuError("FILE_MISSING", `there is no file '${file}'`, { hint: missing });
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
	} catch (cause) {
		const isObject = beginsWith(bytes, ELF_MAGIC);
		throw new KlpemuError("SCENARIO_SYNTAX", isObject ? "an object (ELF), not a text file" : "not UTF-8 text", {
			where: file,
			hint: isObject ? "klpemu disasm shows an object; a scenario names it among its sources" : undefined,
			cause,
		});
	}
}

/**
 * Writes a file that is there whole or not at all, in a folder that is there. `mode`: of a new file, 0o666 unless given; the umask counts.
 * Throws `FILE_UNWRITABLE`.
 */
export async function writeWhole(path: string, content: string | Uint8Array, mode?: number): Promise<void> {
	await inPlaceOf(path, async (temporary) => {
		await refuseOtherKind(path);
		await promises.writeFile(temporary, content, mode === undefined ? {} : { mode });
		await promises.rename(temporary, path);
	});
}

/** The same for a file in a folder that an option names: it is made, and those above it. Throws `FILE_UNWRITABLE`. */
export async function writeInFolder(path: string, content: string | Uint8Array, mode?: number): Promise<void> {
	const folder = dirname(path);
	await promises.mkdir(folder, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
		throw unwritable(path, cause.code === "EEXIST" ? Object.assign(cause, { code: "ENOTDIR" }) : cause);
	});
	await writeWhole(path, content, mode);
}

/** Puts a folder with these files, by their paths in it, in the place of another one. It is there whole or not at all. Throws `FILE_UNWRITABLE`. */
export async function writeFolder(path: string, files: ReadonlyMap<string, string | Uint8Array>): Promise<void> {
	await inPlaceOf(path, async (temporary) => {
		await promises.mkdir(temporary, { recursive: true });
		for (const [name, content] of files) {
			const file = join(temporary, name);
			await promises.mkdir(dirname(file), { recursive: true });
			await promises.writeFile(file, content);
		}
		await promises.rm(path, { recursive: true, force: true });
		await promises.rename(temporary, path);
	});
}

/** `write` writes beside the place, and then renames; nothing is left there if it fails, or if the process is told to end. */
async function inPlaceOf(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
	const temporary = `${path}.${process.pid}.tmp`;
	const letGo = whenProcessEnds(() => rmSync(temporary, { recursive: true, force: true }));
	try {
		await write(temporary);
	} catch (cause) {
		await promises.rm(temporary, { recursive: true, force: true }).catch(() => undefined);
		throw unwritable(path, cause);
	} finally {
		await letGo();
	}
}

/** A file takes the place of another file, not of a device or a pipe: root could. Throws `FILE_UNWRITABLE`. */
async function refuseOtherKind(path: string): Promise<void> {
	const found = await promises.stat(path).catch(() => undefined);
	if (found === undefined || found.isFile()) return;
	throw new KlpemuError(
		"FILE_UNWRITABLE",
		`cannot write '${path}': it is ${found.isDirectory() ? "a folder" : "no regular file"}`,
	);
}

/** The error for a file that cannot be written. */
export function unwritable(path: string, cause: unknown): KlpemuError {
	if (cause instanceof KlpemuError) return cause;
	const { code } = cause as NodeJS.ErrnoException;
	const folder = dirname(path);
	const reason =
		code === "ENOENT"
			? `there is no folder '${folder}'`
			: code === "ENOTDIR"
				? `${folder} is not a folder`
				: (code ?? cause);
	return new KlpemuError("FILE_UNWRITABLE", `cannot write '${path}': ${reason}`, {
		cause,
		hint: code === "ENOENT" ? `mkdir -p ${folder}` : undefined,
	});
}

/** Whether {@link writeWhole} can work, before much work: throws `FILE_UNWRITABLE` if it certainly cannot. */
export async function checkWritable(path: string): Promise<void> {
	await refuseOtherKind(path);
	// The slash: ENOTDIR for a file.
	await promises.access(`${dirname(path)}/`, constants.W_OK).catch((cause) => {
		throw unwritable(path, cause);
	});
}

async function ifThere<T>(path: string, access: () => Promise<T>): Promise<T | undefined> {
	try {
		return await access();
	} catch (cause) {
		if (cause instanceof KlpemuError) throw cause;
		const { code } = cause as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "ENOTDIR") return undefined;
		throw unreadable(path, code === "EISDIR" ? "it is a folder" : (code ?? String(cause)), cause);
	}
}

function unreadable(path: string, reason: string, cause?: unknown): KlpemuError {
	return new KlpemuError("FILE_UNREADABLE", `cannot read '${path}': ${reason}`, { cause });
}

/** Reads the files that a scenario names: first beside the scenario, then in the package of klpemu. */
export class NodeFileReader implements FileReader {
	readonly #folders: readonly string[];

	constructor(scenarioFile: string, project: string = PROJECT) {
		this.#folders = [dirname(resolve(scenarioFile)), resolve(project)];
	}

	candidates(path: string): readonly string[] {
		if (isAbsolute(path)) return [path];
		return [...new Set(this.#folders.map((folder) => resolve(folder, path)))];
	}

	async find(path: string): Promise<string | undefined> {
		for (const candidate of this.candidates(path)) {
			const found = await ifThere(candidate, async () => statSync(candidate));
			if (found?.isDirectory()) throw unreadable(candidate, "it is a folder");
			if (found !== undefined) return candidate;
		}
		return undefined;
	}

	async read(path: string): Promise<Uint8Array | undefined> {
		for (const candidate of this.candidates(path)) {
			const content = await readIfThere(candidate);
			if (content !== undefined) return content;
		}
		return undefined;
	}
}
