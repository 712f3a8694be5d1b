import { hex, type Kaddr } from "../../memory/index.js";
import type { GuestArguments, GuestMemory, HostFunctions, Slab } from "../guest/index.js";
import { type Dmesg, KERN } from "../lib/index.js";

/** include/linux/gfp_types.h */
export const __GFP_ZERO = 0x100;

/** PAGE_SIZE */
const PAGE = 4096n;

/** Result of kmalloc(0): not NULL, and not accessible. */
const ZERO_SIZE_PTR = 16n;

/** mm/slub.c, mm/page_alloc.c: kmalloc(), kfree() and whole pages for guest code. `freed` is told of each object. */
export function memoryFunctions(
	memory: GuestMemory,
	slab: Slab,
	dmesg: Dmesg,
	freed: (object: Kaddr) => void,
): HostFunctions {
	const kmalloc = (size: bigint, flags: number, { caller }: GuestArguments) => {
		if (size === 0n) return ZERO_SIZE_PTR;
		return BigInt(slab.kmalloc("kmalloc", Number(size), (flags & __GFP_ZERO) !== 0, caller));
	};
	const kfree = (pointer: bigint, address: number) => {
		if (pointer <= ZERO_SIZE_PTR) return;
		memory.u8(address);
		freed(address);
		if (slab.kfree(address)) return;
		const size = slab.freeSize(address);
		if (size !== undefined) {
			// As with slab_debug=F: the object is left alone.
			const what = `BUG kmalloc-${size} (Not tainted): Object already free`;
			dmesg.warnings.push(what);
			dmesg.print(KERN.ERR, what);
			dmesg.print(KERN.ERR, `Object ${hex(address)}`);
		} else if (dmesg.WARN_ON_ONCE(true, "free_large_kmalloc: order == 0")) {
			dmesg.print(KERN.WARNING, `object pointer: ${hex(address)}`);
		}
	};
	/** Pages are objects of the heap. */
	const pages = (bytes: bigint, flags: number, args: GuestArguments) => {
		return BigInt(slab.kmalloc("alloc_pages", Number(bytes), (flags & __GFP_ZERO) !== 0, args.caller));
	};
	const order = (value: number) => PAGE << BigInt(value);
	const free = (args: GuestArguments) => {
		const pointer = args.u64(0);
		kfree(pointer, pointer <= ZERO_SIZE_PTR ? 0 : args.pointer(0));
		return undefined;
	};
	return {
		plain: {
			// (flags, order)
			get_free_pages_noprof: (args) => pages(order(args.u32(1)), args.u32(0), args),
			get_zeroed_page_noprof: (args) => pages(PAGE, __GFP_ZERO, args),
			// (size, flags): whole pages.
			alloc_pages_exact_noprof: (args) => pages(((args.u64(0) + PAGE - 1n) / PAGE) * PAGE, args.u32(1), args),
			free_pages: free,
			free_pages_exact: free,
			ksize: (args) => (args.u64(0) <= ZERO_SIZE_PTR ? 0 : (slab.usedSize(args.pointer(0)) ?? 0)),
			kmalloc: (args) => kmalloc(args.u64(0), args.u32(1), args),
			kfree: free,
			krealloc: (args) => {
				const [pointer, size] = [args.u64(0), args.u64(1)];
				const old = pointer <= ZERO_SIZE_PTR ? 0 : args.pointer(0);
				if (size === 0n) {
					kfree(pointer, old);
					return ZERO_SIZE_PTR;
				}
				const before = old === 0 ? 0 : (slab.usedSize(old) ?? 0);
				if (before >= size) {
					slab.resize(old, Number(size));
					return pointer;
				}
				const object = kmalloc(size, args.u32(2), args);
				if (object === 0n) return 0n;
				if (before > 0) memory.write(Number(BigInt.asIntN(32, object)), memory.read(old, before));
				kfree(pointer, old);
				return object;
			},
		},
		sleeping: {},
	};
}
