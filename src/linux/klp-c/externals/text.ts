import { type GuestArguments, GuestFault, type GuestMemory, type HostFunctions } from "../../guest/index.js";
import type { KernelLayout } from "../../lib/index.js";
import { type Dmesg, KERN } from "../../lib/index.js";

/** The part of GuestOutput that is needed here. */
export interface Output {
	/** printk() with the format in argument `at`; `otherwise`: the level of a format without one. */
	printk(args: GuestArguments, at: number, otherwise: number): number;
	format(args: GuestArguments, at: number): string;
}

/** lib/dynamic_debug.c. */
export function textFunctions(memory: GuestMemory, layout: KernelLayout, dmesg: Dmesg, output: Output): HostFunctions {
	return {
		plain: {
			__dynamic_pr_debug(args) {
				const at = (args.pointer(0) + layout.offset("_ddebug.function")) | 0;
				if (!dmesg.debugOff.has(memory.string(memory.u64(at)))) output.printk(args, 1, KERN.DEBUG);
				return undefined;
			},
			__stack_chk_fail() {
				const what = "stack-protector: Kernel stack is corrupted";
				throw new GuestFault({ kind: "general-protection", detail: what }, what);
			},
		},
		sleeping: {},
	};
}
