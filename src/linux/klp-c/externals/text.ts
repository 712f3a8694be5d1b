import { type GuestArguments, GuestFault, type GuestMemory, type HostFunctions } from "../../guest/index.js";
import type { KernelLayout } from "../../lib/index.js";
import { type Dmesg, KERN } from "../../lib/index.js";

/** The part of GuestOutput that is needed here. */
export interface Output {
	/** printk() with the format in argument `at`; `otherwise`: the level of a format without one. */
	printk(args: GuestArguments, at: number, otherwise: number): number;
	format(args: GuestArguments, at: number): string;
}

/** A conversion of {@link vsscanf}, or literal text. */
const SCAN = /%(\d+)?(?:\[(\^?)([^\]]+)\]|(l?[du])|(s))|([^%]+)/g;

/** The conversions that livepatch uses: %[...], %s, %d, %u, %ld, %lu with widths. Values are bigints or texts. */
export function vsscanf(text: string, template: string): (string | bigint)[] {
	const values: (string | bigint)[] = [];
	let rest = text;
	for (const [, width, not, set, number, word, literal] of template.matchAll(SCAN)) {
		if (literal !== undefined) {
			if (!rest.startsWith(literal)) break;
			rest = rest.slice(literal.length);
			continue;
		}
		const most = width === undefined ? "+" : `{1,${width}}`;
		const kind =
			number !== undefined
				? number.endsWith("d")
					? "-?\\d"
					: "\\d"
				: word !== undefined
					? "\\S"
					: `[${not}${set!.replace(/[\\\]]/g, "\\$&")}]`;
		const [found] = new RegExp(`^${kind}${most}`).exec(rest) ?? [];
		if (found === undefined || found === "") break;
		rest = rest.slice(found.length);
		values.push(number === undefined ? found : BigInt(found));
	}
	return values;
}

/** lib/dynamic_debug.c and lib/vsprintf.c. */
export function textFunctions(memory: GuestMemory, layout: KernelLayout, dmesg: Dmesg, output: Output): HostFunctions {
	return {
		plain: {
			__dynamic_pr_debug(args) {
				const at = (args.pointer(0) + layout.offset("_ddebug.function")) | 0;
				if (!dmesg.debugOff.has(memory.string(memory.u64(at)))) output.printk(args, 1, KERN.DEBUG);
				return undefined;
			},
			sscanf(args) {
				const values = vsscanf(args.string(0), args.string(1));
				for (const [index, value] of values.entries()) {
					const to = args.pointer(2 + index);
					if (typeof value === "bigint") memory.setU64(to, BigInt.asUintN(64, value));
					else memory.write(to, new TextEncoder().encode(`${value}\0`));
				}
				return values.length;
			},
			__stack_chk_fail() {
				const what = "stack-protector: Kernel stack is corrupted";
				throw new GuestFault({ kind: "general-protection", detail: what }, what);
			},
		},
		sleeping: {},
	};
}
