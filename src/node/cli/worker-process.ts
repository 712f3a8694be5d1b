import { availableParallelism } from "node:os";
import { KlpemuError } from "../../base/index.js";

/** The command that runs `klpemu worker` in a process of its own: this very program. */
export function workerProcess(): readonly string[] {
	return [process.execPath, ...process.execArgv, process.argv[1]!, "worker"];
}

/** Number of searches at a time: --jobs, or the number of cores. Throws `CLI_BAD_ARGUMENT`. */
export function processesOf(jobs: bigint | undefined, where: string): number {
	if (jobs === undefined) return availableParallelism();
	if (jobs >= 1n && jobs <= 1024n) return Number(jobs);
	throw new KlpemuError("CLI_BAD_ARGUMENT", `--jobs must be from 1 to 1024, not ${jobs}`, {
		where,
		hint: `without --jobs there are as many as this machine has cores: ${availableParallelism()}`,
	});
}
