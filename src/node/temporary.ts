import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Calls `use` with a new folder, which is removed when `use` has ended, has failed, or the process is told to end. The listeners of
 * runTool come before these (prependListener there): nothing writes into the folder any more.
 */
export async function withTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
	const folder = await mkdtemp(join(tmpdir(), "klpemu-"));
	const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
	const onSignal = (signal: NodeJS.Signals): void => {
		remove();
		letGo();
		if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
	};
	const letGo = (): void => {
		process.off("exit", remove);
		for (const signal of SIGNALS) process.off(signal, onSignal);
	};
	// One listener for each folder: more than ten are not a leak.
	process.setMaxListeners(Math.max(process.getMaxListeners(), process.listenerCount("exit") + 2));
	process.on("exit", remove);
	for (const signal of SIGNALS) process.on(signal, onSignal);
	try {
		return await use(folder);
	} finally {
		letGo();
		await rm(folder, { recursive: true, force: true });
	}
}
