import { mkdtempSync, promises, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KlpemuError } from "../base/index.js";
import { whenProcessEnds } from "./process-end.js";

/** The disk, the quota, or the size of a file (ulimit -f). */
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

function unusable(folder: string, cause: NodeJS.ErrnoException): KlpemuError {
	return new KlpemuError("FILE_UNWRITABLE", `cannot write temporary files in '${folder}': ${cause.code}`, {
		hint: "set TMPDIR to a folder that is there, can be written, and has room",
		cause,
	});
}

function newFolder(): string {
	try {
		return mkdtempSync(join(tmpdir(), "klpemu-"));
	} catch (cause) {
		throw unusable(tmpdir(), cause as NodeJS.ErrnoException);
	}
}

/**
 * Calls `use` with a new folder, which is removed when `use` has ended, has failed, or the process is told to end. runTool() ends its tool
 * before that (`first` there): nothing writes into the folder any more. Throws `FILE_UNWRITABLE`, and what `use` throws.
 */
export async function withTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
	let folder: string | undefined;
	// Listens before there is a folder: a signal that comes just behind mkdtemp() would end the process and leave it.
	const letGo = whenProcessEnds(() => {
		if (folder !== undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
	});
	try {
		folder = newFolder();
		return await use(folder);
	} catch (cause) {
		const { code } = cause as NodeJS.ErrnoException;
		// What a tool says of a full disk is in its own error.
		if (folder === undefined || !FULL.has(code ?? "")) throw cause;
		throw unusable(folder, cause as NodeJS.ErrnoException);
	} finally {
		try {
			if (folder !== undefined) await promises.rm(folder, { recursive: true, force: true });
		} finally {
			await letGo();
		}
	}
}
