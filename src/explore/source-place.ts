import { functionOfGate, RIP, RSP } from "../cpu/index.js";
import type { task_struct } from "../linux/sched/index.js";
import type { Machine } from "../machine/index.js";

/** Where guest code stands in its source. */
export interface SourcePlace {
	readonly func: string;
	/** As the compiler has named it: `kernel/livepatch/core.c`. An inlined function has the file and line of its own. */
	readonly file: string;
	readonly line: number;
	/** The kernel function in TypeScript that it is about to call, or is in. */
	readonly calls?: string;
}

/** The place of a task whose registers are those of guest code; undefined: no line is known, or it is no compiled code. */
export function sourcePlace({ symbols, memory }: Machine, { regs }: task_struct): SourcePlace | undefined {
	const ip = regs.kaddr(RIP);
	const gate = symbols.gateAt(ip);
	const stack = regs.kaddr(RSP);
	if (gate !== undefined && memory.entry(stack) === 0) return undefined;
	// A return address is the instruction behind the call.
	const { func, line } = symbols.sourceAt(gate === undefined ? ip : (memory.kaddr(stack) - 1) | 0) ?? {};
	if (func === undefined || line === undefined) return undefined;
	return { func, ...line, ...(gate !== undefined && { calls: functionOfGate(gate) }) };
}

/** A point with its place: `klp_init_transition() transition.c:639`, or `enters lp1_funcA (lp1.c:7)`. */
export function withPlace(label: string, place: SourcePlace | undefined): string {
	if (place === undefined) return label;
	const { func, file, line, calls } = place;
	const at = `${file.replace(/^.*\//, "")}:${line}`;
	const name = label.replace(/^.*:/, "");
	if (name === func) return `${func}() ${at}`;
	if (name === calls) return `${func}() ${at} calls ${calls}()`;
	return label.split(/[^\w.]+/).includes(func) ? `${label} (${at})` : `${label} (${func}() ${at})`;
}

/** Why places are not told although there could be some, in sentences. */
export function missingPlaces({ kallsyms, klp }: Machine): string[] {
	return kallsyms.images.flatMap((image) => {
		if (image.linesProblem !== undefined) return [`Lines are not told of ${image.linesProblem}.`];
		if (!klp.code?.contains(image.base)) return [];
		const known = image.symbols.some(({ type, address }) => type === "func" && image.lineAt(address) !== undefined);
		return known ? [] : ["The kernel core has no lines: klpemu kernel build makes it again, with lines."];
	});
}
