import { designs } from "../../designs/index.js";
import type { Names } from "./names.js";

/** What every livepatch has in its folder of /sys/kernel/livepatch, in some release of the kernel. */
const FILES = ["enabled", "transition", "force", "stack_order"] as const;

/**
 * The files and folders below /sys/kernel/livepatch that the livepatch of `path` can ever have, under any design; undefined: its C code
 * decides about the functions, and `path` may be one.
 */
export function possibleFiles({ livepatches, modules, options }: Names, path: string): readonly string[] | undefined {
	const [name = "", object, func] = path.split("/");
	const livepatch = livepatches.get(name);
	if (livepatch === undefined) return undefined;
	const own = (options.registry ?? designs).flatMap(({ attributes }) => Object.keys(attributes));
	const objects = ["vmlinux", ...modules.keys(), ...livepatch.objects.map((obj) => obj.name)];
	// Its C code says which objects it has.
	const inC = livepatch.objects.length === 0;
	if (inC && func !== undefined && objects.includes(object!) && /^\w+,\d+$/.test(func)) return undefined;
	const funcs = livepatch.objects.flatMap((obj) =>
		obj.funcs.map(({ old_name, sympos }) => `${obj.name}/${old_name},${sympos || 1}`),
	);
	const files = [...FILES, ...own, ...objects.flatMap((obj) => [obj, `${obj}/patched`]), ...funcs];
	return [name, ...files.map((file) => `${name}/${file}`)];
}
