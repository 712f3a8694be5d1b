import { KlpemuError } from "../../base/index.js";
import { type Image, jumpLabelCode, linkImage, type PerCpuVariables, UndefinedSymbols } from "../../elf/index.js";
import { type Kaddr, type Memory, toU64 } from "../../memory/index.js";
import type { KernelLayout } from "../lib/index.js";
import type { KernelCore } from "./object.js";

/** Bytes of each CPU's area for per-CPU variables: behind the canary (fixed_percpu_data), up to the end of its page. */
const PERCPU_ROOM = { offset: 0x40, end: 0x1000 };
const JMP32 = 0xe9;
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/** The core's object in guest memory: its symbols, and the per-CPU variables that it and the kernel around it share. */
export class CoreImage {
	readonly image: Image;
	readonly layout: KernelLayout;
	readonly memory: Memory;
	readonly #percpu: PerCpuVariables;

	/**
	 * Links the object at `base`. `resolve`: the addresses of the kernel's functions that it calls. Throws `CORE_EXTERNALS` with the
	 * names of all that are missing, `CORE_SYMBOL`, and what linkImage() throws.
	 */
	constructor(core: KernelCore, memory: Memory, base: Kaddr, resolve: (name: string) => Kaddr | undefined) {
		this.layout = core.layout;
		this.memory = memory;
		const { release } = core.info;
		try {
			// It is a part of vmlinux, as CONFIG_LIVEPATCH=y makes it.
			const objects = [core.object];
			this.image = linkImage({ name: "vmlinux", objects, base, memory, percpu: PERCPU_ROOM, resolve });
		} catch (error) {
			if (!(error instanceof UndefinedSymbols)) throw error;
			const { symbols } = error;
			const count = `${symbols.length} symbol${symbols.length > 1 ? "s" : ""}`;
			throw new KlpemuError(
				"CORE_EXTERNALS",
				`the livepatch core of Linux ${release} needs ${count} that klpemu lacks`,
				{
					where: core.object.fileName,
					hint: `${symbols.join(", ")}: neither asm/kernel-env nor src/linux/klp-c has a kernel function of that name`,
				},
			);
		}
		if (this.image.percpu === undefined) throw this.#missing("pcpu_hot");
		this.#percpu = this.image.percpu;
		// ftrace does not trace the core itself: its call sites are nops for good.
		for (const site of this.image.mcountLocs) memory.write(site, Uint8Array.from(NOP5));
		this.#enableDebug();
	}

	/** Every pr_debug() prints, as with `dyndbg=+p`: the static key of each is on. */
	#enableDebug(): void {
		const debug = this.image.sections("__dyndbg");
		const { memory } = this;
		for (const jump of this.image.jumpEntries) {
			if (!debug.some(({ address, size }) => jump.key >= address && jump.key < address + size)) continue;
			memory.setU32((jump.key + this.layout.offset("static_key.enabled")) | 0, 1);
			memory.write(jump.code, jumpLabelCode(jump, true));
		}
	}

	#missing(name: string): KlpemuError {
		return new KlpemuError("CORE_SYMBOL", `the core of Linux ${this.layout.release} has no symbol '${name}'`, {
			hint: "a patch may change functions and their data, but klpemu finds some of them by these names",
		});
	}

	/** From now on the function is another one. */
	jump(name: string, target: Kaddr): void {
		const at = this.address(name);
		const jump = Uint8Array.of(JMP32, 0, 0, 0, 0);
		new DataView(jump.buffer).setInt32(1, (target - at - jump.length) | 0, true);
		this.memory.write(at, jump);
	}

	/** The address of a function or variable, also of a static one. Throws `CORE_SYMBOL`. */
	address(name: string): Kaddr {
		const symbol = this.image.symbol(name);
		if (symbol === undefined) throw this.#missing(name);
		return symbol.address;
	}

	/** Offset of a per-CPU variable, and of a field in it, in each CPU's area. Throws `CORE_SYMBOL`. */
	percpuOffset(variable: string, field?: string): number {
		return this.address(variable) + (field === undefined ? 0 : this.layout.offset(`${variable}.${field}`));
	}

	/** setup_per_cpu_areas() for the area of one CPU: the initial values of all variables. */
	initPerCpu(area: Kaddr): void {
		const { offset, data } = this.#percpu;
		this.memory.write((area + offset) | 0, data);
		this.memory.setU64((area + this.address("this_cpu_off")) | 0, toU64(area));
	}
}
