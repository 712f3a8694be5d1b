import { type Kaddr, toU64 } from "../../../memory/index.js";
import type { GuestCalls, GuestMemory, HostFunctions } from "../../guest/index.js";
import type { Dmesg, Kallsyms, Kernel } from "../../lib/index.js";
import { type LoadedModule, moduleReferences } from "../../module/index.js";

/** KSYM_NAME_LEN */
const NAME_MAX = 512;

interface Parts {
	readonly memory: GuestMemory;
	readonly kallsyms: Kallsyms;
	readonly calls: GuestCalls;
	readonly modules: ReadonlyMap<string, LoadedModule>;
	/** Address of a module's struct module. */
	readonly structOf: (mod: LoadedModule) => Kaddr;
	readonly moduleAt: (address: Kaddr) => LoadedModule | undefined;
	readonly dmesg: Dmesg;
	/** Guest memory for names that are passed to the core: NAME_MAX bytes. */
	readonly nameBuffer: Kaddr;
}

/** kernel/module/main.c and kernel/kallsyms.c. */
export function moduleFunctions(parts: Parts): HostFunctions {
	const { memory, kallsyms, calls, modules, structOf, moduleAt, nameBuffer } = parts;
	const references = moduleReferences(moduleAt, parts.dmesg);
	const isZero = (rax: bigint) => BigInt.asIntN(32, rax) === 0n;

	/** kallsyms_on_each_match_symbol(fn, name, data): fn(data, address) for each, until one returns not 0. */
	function* onEachMatch(fn: Kaddr, name: string, data: bigint): Kernel<bigint> {
		for (const { address } of kallsyms.lookup(undefined, name)) {
			const ret = yield* calls.call(fn, data, toU64(address));
			if (!isZero(ret)) return BigInt.asIntN(32, ret);
		}
		return 0n;
	}

	/** module_kallsyms_on_each_symbol(modname, fn, data): fn(data, name, address) for each, until one returns not 0. */
	function* onEachOf(modname: string, fn: Kaddr, data: bigint): Kernel<bigint> {
		for (const { name, address } of modules.get(modname)?.image.symbols ?? []) {
			memory.write(nameBuffer, new TextEncoder().encode(`${name}\0`).subarray(-NAME_MAX));
			const ret = yield* calls.call(fn, data, toU64(nameBuffer), toU64(address));
			if (!isZero(ret)) return BigInt.asIntN(32, ret);
		}
		return 0n;
	}

	return {
		plain: {
			find_module: (args) => {
				const mod = modules.get(args.string(0));
				return mod === undefined || mod.state === "unformed" ? 0n : toU64(structOf(mod));
			},
			try_module_get: references.try_module_get!,
			module_put: references.module_put!,
			kallsyms_lookup_size_offset: (args) => {
				const found = kallsyms.kallsyms_lookup_size_offset(args.pointer(0));
				if (found === undefined) return 0;
				for (const [index, value] of [found.size, found.offset].entries()) {
					const to = args.pointer(1 + index);
					if (to !== 0) memory.setU64(to, BigInt(value));
				}
				return 1;
			},
		},
		sleeping: {
			kallsyms_on_each_match_symbol: (args) => onEachMatch(args.pointer(0), args.string(1), args.u64(2)),
			module_kallsyms_on_each_symbol: (args) => onEachOf(args.string(0), args.pointer(1), args.u64(2)),
		},
	};
}
