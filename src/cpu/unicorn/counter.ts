/**
 * The words that the counting hook and the host share. The hook runs before every instruction; as a JavaScript callback it
 * would cost 0.2 us each time, so that it is a few bytes of native code (thunk.ts) on hosts that allow it.
 */
export const COUNTER = {
	/** Instructions begun in this run. A rep string instruction counts once, however often the engine re-enters it. */
	count: 0,
	/** The run stops before the instruction that would be one too many. */
	limit: 1,
	/** Native code only: address of uc_emu_stop. */
	stopFunction: 2,
	/** Address of the last instruction that was begun; {@link NO_ADDRESS} at the start of a run. */
	current: 3,
	/** Address last known to hold a string instruction: repetitions there do not count. */
	string: 4,
	/** Address last known to hold another one that follows itself (`jmp .`): repetitions count. */
	plain: 5,
	/** Native code only: the callback that distinguishes the two kinds. */
	askFunction: 6,
	/** 1 once the limit has stopped the run. */
	stopped: 7,
} as const;

export const COUNTER_WORDS = 8;
/** No instruction starts at the last byte of memory. */
export const NO_ADDRESS = 0xffff_ffff_ffff_ffffn;

/** The hook itself, for hosts without native code. `true`: stop the engine. */
export function countInstruction(words: BigUint64Array, address: bigint, isString: () => boolean): boolean {
	const repeated = words[COUNTER.current] === address && isString();
	words[COUNTER.current] = address;
	if (repeated) return false;
	if (words[COUNTER.count]! >= words[COUNTER.limit]!) {
		words[COUNTER.stopped] = 1n;
		return true;
	}
	words[COUNTER.count]!++;
	return false;
}

/** The hook as a callback, for engines that cannot have native code. */
export function countingHook(
	words: BigUint64Array,
	isString: (address: bigint) => boolean,
	stop: () => void,
): (address: bigint) => void {
	return (address) => {
		const string = () => {
			if (!isString(address)) return false;
			words[COUNTER.string] = address;
			return true;
		};
		if (countInstruction(words, address, string)) stop();
	};
}

/** True for the bytes of movs, cmps, stos, lods, scas, ins and outs, after any prefixes (SDM volume 2, appendix A). */
export function isStringInstruction(bytes: Uint8Array): boolean {
	for (const byte of bytes) {
		if (LEGACY_PREFIXES.has(byte) || (byte & 0xf0) === 0x40) continue;
		return (byte >= 0xa4 && byte <= 0xa7) || (byte >= 0xaa && byte <= 0xaf) || (byte >= 0x6c && byte <= 0x6f);
	}
	return false;
}

const LEGACY_PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);
