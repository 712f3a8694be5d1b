import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const MIB = 1 << 20;
/** Default of --memory in MiB. */
export const DEFAULT_MEMORY = 2048;
/** The part of V8's heap that may be in use: behind its limit V8 aborts the process, with nothing printed. */
const HEAP_PART = 0.75;
/** If less than this part is in use without the garbage, it was worth to collect it. */
const WORTH = 0.9;

function collectGarbage(): void {
	setFlagsFromString("--expose-gc");
	(runInNewContext("gc") as () => void)();
}

/** Why a search has to end for lack of memory; undefined while there is enough. `limit`: of the process, in MiB. */
export function memoryEnd(limit: number): string | undefined {
	const end = (part: number): string | undefined => {
		if (process.memoryUsage.rss() > part * limit * MIB) return `it has used the ${limit} MiB of --memory`;
		const { used_heap_size: used, heap_size_limit: most } = getHeapStatistics();
		if (used <= part * HEAP_PART * most) return undefined;
		return "it has used V8's heap (more: NODE_OPTIONS=--max-old-space-size=MIB)";
	};
	if (end(1) === undefined) return undefined;
	collectGarbage();
	return end(WORTH);
}
