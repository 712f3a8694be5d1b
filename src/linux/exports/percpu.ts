import { declareState } from "../../base/index.js";
import type { GuestArguments, GuestMemory, HostFunctions } from "../guest/index.js";
import { type Dmesg, type FaultInjection, KERN } from "../lib/index.js";
import type { PerCpu, PerCpuChunk } from "../sched/index.js";

/** mm/percpu.c: alloc_percpu(). A pointer is an offset in the area of each CPU. */
export class GuestPerCpu {
	static readonly state = declareState("GuestPerCpu", { fields: ["chunk"] });

	readonly #memory: GuestMemory;
	readonly #percpu: PerCpu;
	readonly #dmesg: Dmesg;
	readonly #faults: FaultInjection;
	private readonly chunk: PerCpuChunk;

	constructor(parts: {
		readonly memory: GuestMemory;
		readonly percpu: PerCpu;
		readonly dmesg: Dmesg;
		readonly faults: FaultInjection;
	}) {
		this.#memory = parts.memory;
		this.#percpu = parts.percpu;
		this.#dmesg = parts.dmesg;
		this.#faults = parts.faults;
		this.chunk = parts.percpu.chunk;
	}

	/** (size, align, reserved, gfp). What comes before `from` is of modules. */
	#alloc(args: GuestArguments, from: number): bigint {
		const [size, align] = [Number(args.u64(0)), Number(args.u64(1))];
		if (this.#faults.should_fail("pcpu_alloc")) return 0n;
		const offset = size === 0 ? undefined : this.chunk.allocate(size, Math.max(align, 8), from);
		if (offset === undefined) {
			const what = `percpu: allocation failed, size=${size} align=${align} atomic=0`;
			this.#dmesg.print(KERN.WARNING, `${what}, klpemu has 2048 bytes for each CPU`);
			return 0n;
		}
		for (const area of this.#percpu.areas()) this.#memory.write((area + offset) | 0, new Uint8Array(size));
		return BigInt(offset);
	}

	/** `end`: the offset behind the per-CPU variables of modules. */
	functions(end: () => number): HostFunctions {
		return {
			plain: {
				pcpu_alloc_noprof: (args) => this.#alloc(args, end()),
				free_percpu: (args) => {
					const offset = args.u64(0);
					if (offset === 0n || this.chunk.free(Number(offset))) return undefined;
					this.#dmesg.WARN_ON(true, `free_percpu: ${offset.toString(16)} is not allocated`);
					return undefined;
				},
			},
			sleeping: {},
		};
	}
}
