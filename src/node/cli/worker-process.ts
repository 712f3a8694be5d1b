/** Searches at a time of `klpemu worker` and `klpemu campaign`: the largest value of --jobs. */
export const MAX_JOBS = 1024;

/** The command that runs `klpemu worker` in a process of its own: this very program. */
export function workerProcess(): readonly string[] {
	return [process.execPath, ...process.execArgv, process.argv[1]!, "worker"];
}
