export { hex, isKaddr, type Kaddr, kaddrOf, toKaddr, toU64 } from "./kaddr.js";
export {
	BACKING,
	Memory,
	type MemoryListener,
	type MemoryOptions,
	PAGE_SHIFT,
	PAGE_SIZE,
	PERM,
	type Region,
	type SavedMemory,
} from "./memory.js";
export { PTE_SHADOWED, type Shadow, WATCH } from "./shadow.js";
