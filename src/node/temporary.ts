import { promises, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whenProcessEnds } from "./process-end.js";

/**
 * Calls `use` with a new folder, which is removed when `use` has ended, has failed, or the process is told to end. runTool() ends its tool
 * before that (`first` there): nothing writes into the folder any more.
 */
export async function withTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
	const folder = await promises.mkdtemp(join(tmpdir(), "klpemu-"));
	const letGo = whenProcessEnds(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }));
	try {
		return await use(folder);
	} finally {
		letGo();
		await promises.rm(folder, { recursive: true, force: true });
	}
}
