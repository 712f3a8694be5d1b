import { mkdtempSync, promises, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whenProcessEnds } from "./process-end.js";

/**
 * Calls `use` with a new folder, which is removed when `use` has ended, has failed, or the process is told to end. runTool() ends its tool
 * before that (`first` there): nothing writes into the folder any more.
 */
export async function withTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
	let folder: string | undefined;
	// Listens before there is a folder: a signal that comes just behind mkdtemp() would end the process and leave it.
	const letGo = whenProcessEnds(() => {
		if (folder !== undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
	});
	try {
		folder = mkdtempSync(join(tmpdir(), "klpemu-"));
		return await use(folder);
	} finally {
		letGo();
		if (folder !== undefined) await promises.rm(folder, { recursive: true, force: true });
	}
}
