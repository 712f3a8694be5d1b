export { hex, isKaddr, type Kaddr, toKaddr, toU64 } from "./kaddr.js";
export {
	BACKING,
	Memory,
	type MemoryListener,
	type MemoryOptions,
	PAGE_SHIFT,
	PAGE_SIZE,
	PERM,
	PTE_PERM_MASK,
	type Region,
	type SavedMemory,
	WINDOW_START,
} from "./memory.js";
