import type { Kaddr } from "../../memory/index.js";
import type { HostFunctions } from "../guest/index.js";
import { type Dmesg, ENOENT } from "../lib/index.js";
import type { LoadedModule } from "./loader.js";

/** kernel/module/main.c: the reference count of a module; NULL stands for the kernel, which always stays. */
export function moduleReferences(
	moduleAt: (address: Kaddr) => LoadedModule | undefined,
	dmesg: Dmesg,
): HostFunctions["plain"] {
	return {
		try_module_get: (args) => {
			if (args.u64(0) === 0n) return 1;
			const mod = moduleAt(args.pointer(0));
			if (mod === undefined || mod.state === "going") return 0;
			mod.refcount++;
			return 1;
		},
		__module_get: (args) => {
			const mod = moduleAt(args.pointer(0));
			if (mod !== undefined) mod.refcount++;
			return undefined;
		},
		module_put: (args) => {
			const mod = moduleAt(args.pointer(0));
			if (mod === undefined) return undefined;
			// The loader holds one reference more, so that the second put too many is the first one seen.
			if (!dmesg.WARN_ON(mod.refcount < 0, `module_put: ${mod.name} has no reference`)) mod.refcount--;
			return undefined;
		},
		// -1 while it is unloaded, as the loader has given its own reference back.
		module_refcount: (args) => {
			const mod = moduleAt(args.pointer(0));
			return mod === undefined || mod.state === "going" ? -1 : mod.refcount;
		},
		// (wait, format, ...): there is no /sbin/modprobe.
		__request_module: () => -ENOENT,
	};
}
