import { type Cpu, GatePage } from "../../cpu/index.js";
import type { Kaddr } from "../../memory/index.js";
import { CoreImage } from "./core-image.js";
import { EXTERNALS } from "./externals/index.js";
import type { KernelCore } from "./object.js";

/** The gates of the core have names that are no names of gates for other guest code, which has other structs. */
export const PREFIX = "vmlinux:";

/** A core in guest memory, before the machine around it is made. */
export interface LinkedCore {
	readonly core: CoreImage;
	/** For the kernel functions that it calls: places with names, to be bound by CompiledLivepatch. */
	readonly gates: GatePage;
}

/** Links a core. Throws `CORE_EXTERNALS`, `CORE_SYMBOL`, and what linkImage() throws. */
export function linkCore(
	object: KernelCore,
	cpu: Cpu,
	areas: { readonly coreGates: Kaddr; readonly core: Kaddr },
): LinkedCore {
	const names = EXTERNALS.map((name) => PREFIX + name);
	const gates = new GatePage(cpu.memory, cpu, areas.coreGates, names);
	const resolve = (name: string) => (EXTERNALS.includes(name) ? gates.address(PREFIX + name) : undefined);
	const core = new CoreImage(object, cpu.memory, areas.core, resolve);
	// A weak function that another part of the kernel defines is that one's (clear_relocate_add(), arch/x86/kernel/module.c).
	for (const { name, binding, type } of core.image.symbols) {
		if (binding === "weak" && type === "func" && EXTERNALS.includes(name))
			core.jump(name, gates.address(PREFIX + name));
	}
	return { core, gates };
}
