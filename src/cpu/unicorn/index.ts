export { COUNTER, COUNTER_WORDS, countingHook, NO_ADDRESS } from "./counter.js";
export { UnicornCpu } from "./cpu.js";
export {
	type EngineHook,
	HOOK,
	UC_ARCH_X86,
	UC_MODE_64,
	type UnicornEngine,
} from "./engine.js";
