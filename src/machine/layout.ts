import { declareState, KlpemuError } from "../base/index.js";
import { hex, type Kaddr, type Memory, PAGE_SIZE, PERM, type Region } from "../memory/index.js";

/** Where things are in the guest. The lower part of the window is text and data, as in the kernel; stacks come last. */
export const LAYOUT = {
	entry: -0x7fff_0000,
	ftrace: -0x7ffe_0000,
	ftraceOps: -0x7ffd_8000,
	gates: -0x7ffd_0000,
	/** The variable function_trace_op, then every struct ftrace_ops. */
	data: -0x7ff0_0000,
	percpu: -0x7fe0_0000,
	/** kmalloc(). */
	heap: -0x7fc0_0000,
	heapEnd: -0x7f00_0000,
	vmlinux: -0x7f00_0000,
	modules: -0x6000_0000,
	modulesEnd: -0x4000_0000,
	stacks: -0x4000_0000,
	stacksEnd: -0x10_0000,
} as const;

/** The gates that the engine's own assembly calls: they have the first places of the gate page, whatever is bound when. */
export const ENGINE_GATES: readonly string[] = [
	"next_call",
	"exit_to_user_mode",
	"kthread_wait",
	"do_idle",
	"return_to_host",
	"trace_test_and_set_recursion",
	"trace_clear_recursion",
	"ftrace_next_ops",
];

/** Gates whose addresses the kernel's own structs hold: known before the functions behind them are made. */
export const KERNEL_GATES: readonly string[] = ["ftrace_host_func", "call_direct_funcs", "klp_ftrace_handler"];

/** Bytes of a struct ftrace_ops. Nobody looks inside: only its address matters. */
const OPS_SIZE = 64;
const DATA_SIZE = 0x40000;

/** Hands out guest addresses: the module area (modules, trampolines) and the structs that guest code passes by address. */
export class GuestAreas {
	static readonly state = declareState({ fields: ["trampolines", "freeOpsList", "nextOps", "nextModule"] });

	readonly #memory: Memory;
	readonly trampolines = new Map<Kaddr, Region>();
	readonly freeOpsList: Kaddr[] = [];
	nextOps: Kaddr = (LAYOUT.data + OPS_SIZE) | 0;
	/** Where the next module goes. */
	nextModule: Kaddr = LAYOUT.modules;

	constructor(memory: Memory) {
		this.#memory = memory;
		memory.map("ftrace data", LAYOUT.data, DATA_SIZE, PERM.READ | PERM.WRITE);
	}

	/**
	 * Takes whole pages of the module area. Its addresses are never used twice, so that a jump into freed text always faults.
	 * Throws `MODULE_AREA_FULL`.
	 */
	takeModuleArea(bytes: number): Kaddr {
		const start = this.nextModule;
		const next = start + Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
		if (next > LAYOUT.modulesEnd) throw new KlpemuError("MODULE_AREA_FULL", "the module area is used up");
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
		if (address + OPS_SIZE > LAYOUT.data + DATA_SIZE) {
			throw new KlpemuError("OPS_AREA_FULL", `more than ${DATA_SIZE / OPS_SIZE - 1} ftrace_ops at a time`);
		}
		this.nextOps = (address + OPS_SIZE) | 0;
		return address;
	}

	freeOps(address: Kaddr): void {
		this.freeOpsList.push(address);
	}
}
