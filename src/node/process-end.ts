/** Ctrl-C, the end of a terminal, and what a job scheduler or a time limit sends. */
export const END_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Calls `action` when this process ends, or gets a signal to end. `first`: before the actions that are there already. Returns a function
 * that takes the action back.
 */
export function whenProcessEnds(action: () => void, { first = false } = {}): () => void {
	const onSignal = (signal: NodeJS.Signals): void => {
		action();
		letGo();
		// Sends the signal again, with its default effect, unless the program has a listener of its own.
		if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
	};
	const letGo = (): void => {
		process.off("exit", action);
		for (const signal of END_SIGNALS) process.off(signal, onSignal);
	};
	// One listener for each folder and each running tool: more than ten are not a leak.
	process.setMaxListeners(Math.max(process.getMaxListeners(), process.listenerCount("exit") + 2));
	if (first) {
		process.prependListener("exit", action);
		for (const signal of END_SIGNALS) process.prependListener(signal, onSignal);
	} else {
		process.on("exit", action);
		for (const signal of END_SIGNALS) process.on(signal, onSignal);
	}
	return letGo;
}
