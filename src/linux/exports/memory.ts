import type { HostFunctions, Slab } from "../guest/index.js";
import type { Dmesg } from "../lib/index.js";

/** include/linux/gfp_types.h */
const __GFP_ZERO = 0x100;

/** mm/slab: kmalloc() and kfree() for guest code. */
export function memoryFunctions(slab: Slab, dmesg: Dmesg): HostFunctions {
	return {
		plain: {
			kmalloc: (args) => {
				return BigInt(slab.kmalloc("kmalloc", Number(args.u64(0)), (args.u32(1) & __GFP_ZERO) !== 0));
			},
			kfree: (args) => {
				dmesg.WARN_ON(!slab.kfree(args.pointer(0)), "kfree: not an object in use");
				return undefined;
			},
		},
		sleeping: {},
	};
}
