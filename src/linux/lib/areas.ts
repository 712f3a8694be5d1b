import { declareState, KlpemuError } from "../../base/index.js";
import { hex, type Kaddr, type Memory, PAGE_SIZE, PERM, type Region } from "../../memory/index.js";

/** Bytes of a struct ftrace_ops. No code looks inside: only its address matters. */
const OPS_SIZE = 64;

/** Addresses of the areas. */
export interface AreaLayout {
	readonly data: Kaddr;
	readonly dataEnd: Kaddr;
	readonly modules: Kaddr;
	readonly modulesEnd: Kaddr;
}

/** Hands out guest addresses: the module area (modules, trampolines) and the structs that guest code passes by address. */
export class GuestAreas {
	static readonly state = declareState("GuestAreas", {
		fields: ["trampolines", "freeOpsList", "nextOps", "nextModule"],
	});

	readonly #memory: Memory;
	readonly #layout: AreaLayout;
	readonly trampolines = new Map<Kaddr, Region>();
	readonly freeOpsList: Kaddr[] = [];
	nextOps: Kaddr;
	/** Address of the next module. */
	nextModule: Kaddr;

	constructor(memory: Memory, layout: AreaLayout) {
		this.#memory = memory;
		this.#layout = layout;
		// The first slot is for the variable function_trace_op.
		this.nextOps = (layout.data + OPS_SIZE) | 0;
		this.nextModule = layout.modules;
		memory.map("ftrace data", layout.data, layout.dataEnd - layout.data, PERM.READ | PERM.WRITE);
	}

	/**
	 * Takes whole pages of the module area. An address is never used twice, so that a jump into freed text always
	 * faults. Throws `MODULE_AREA_FULL`.
	 */
	takeModuleArea(bytes: number): Kaddr {
		const start = this.nextModule;
		const next = start + Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
		if (next > this.#layout.modulesEnd) throw new KlpemuError("MODULE_AREA_FULL", "the module area is used up");
		this.nextModule = next | 0;
		return start;
	}

	allocTrampoline(name: string, size: number): Kaddr {
		const start = this.takeModuleArea(size);
		const length = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
		this.trampolines.set(start, this.#memory.map(name, start, length, PERM.READ | PERM.EXEC));
		return start;
	}

	freeTrampoline(address: Kaddr): void {
		const region = this.trampolines.get(address);
		if (region === undefined) throw new Error(`no trampoline at ${hex(address)}`);
		this.trampolines.delete(address);
		this.#memory.unmap(region);
	}

	/** Guest memory for a struct ftrace_ops. Throws `OPS_AREA_FULL`. */
	allocOps(): Kaddr {
		const free = this.freeOpsList.pop();
		if (free !== undefined) return free;
		const address = this.nextOps;
		if (address + OPS_SIZE > this.#layout.dataEnd) {
			throw new KlpemuError(
				"OPS_AREA_FULL",
				`more than ${(this.#layout.dataEnd - this.#layout.data) / OPS_SIZE - 1} ftrace_ops at a time`,
			);
		}
		this.nextOps = (address + OPS_SIZE) | 0;
		return address;
	}

	freeOps(address: Kaddr): void {
		this.freeOpsList.push(address);
	}
}
