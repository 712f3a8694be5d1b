/** Ctrl-C, the end of a terminal, and what a job scheduler or a time limit sends. */
export const END_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Calls `action` when this process ends, or gets a signal to end. `first`: before the actions that are there already. Returns a function
 * that takes the action back at once. Its promise ends when nothing listens for signals any more: from then on one ends the process at
 * once, and no signal that came before is lost.
 */
export function whenProcessEnds(action: () => void, { first = false } = {}): () => Promise<void> {
	let wanted = true;
	const onEnd = (): void => {
		if (wanted) action();
	};
	const onSignal = (signal: NodeJS.Signals): void => {
		onEnd();
		takeOff();
		// Sends the signal again, with its default effect, unless the program has a listener of its own.
		if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
	};
	const takeOff = (): void => {
		process.off("exit", onEnd);
		for (const signal of END_SIGNALS) process.off(signal, onSignal);
	};
	// One listener for each folder and each running tool: more than ten are not a leak.
	process.setMaxListeners(Math.max(process.getMaxListeners(), process.listenerCount("exit") + 2));
	if (first) {
		process.prependListener("exit", onEnd);
		for (const signal of END_SIGNALS) process.prependListener(signal, onSignal);
	} else {
		process.on("exit", onEnd);
		for (const signal of END_SIGNALS) process.on(signal, onSignal);
	}
	return async () => {
		wanted = false;
		await signalsTold();
		takeOff();
	};
}

/**
 * Until the signals that this process has got are told to their listeners. Node tells them when its loop polls: without listeners by
 * then, they are lost. What is set in a loop's turn is called in that turn or the next one; between two of them it has polled.
 */
async function signalsTold(): Promise<void> {
	for (let turn = 0; turn < 2; turn++) await new Promise(setImmediate);
}
