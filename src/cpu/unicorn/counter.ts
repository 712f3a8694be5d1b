/**
 * The words that the counting hook and the host share. The hook runs before every instruction; as a JavaScript callback it
 * would cost 0.2 us each time, so that it is a few bytes of native code (thunk.ts) on hosts that allow it.
 */
export const COUNTER = {
	/** Instructions begun in this run. The engine begins a repeated string instruction once for each turn, and once for the end. */
	count: 0,
	/** The run stops before the instruction that would be one too many. */
	limit: 1,
	/** Native code only: address of uc_emu_stop. */
	stopFunction: 2,
	/** Address of the last instruction that was begun; {@link NO_ADDRESS} at the start of a run. */
	current: 3,
	/** 1 once the limit has stopped the run. */
	stopped: 4,
} as const;

export const COUNTER_WORDS = 5;
/** No instruction starts at the last byte of memory. */
export const NO_ADDRESS = 0xffff_ffff_ffff_ffffn;

/** The hook as a callback, for engines that cannot have native code. */
export function countingHook(words: BigUint64Array, stop: () => void): (address: bigint) => void {
	return (address) => {
		words[COUNTER.current] = address;
		if (words[COUNTER.count]! < words[COUNTER.limit]!) {
			words[COUNTER.count]!++;
			return;
		}
		words[COUNTER.stopped] = 1n;
		stop();
	};
}
