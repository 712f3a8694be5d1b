/**
 * The parts of a redirected call: exact instructions, and times as differences between cases, each with one part more.
 */
import type { Measured, Rounds } from "../common/index.js";
import type { Rig } from "./calls.js";

/** A part of a call: the case with this part, and the case without it. */
const PARTS = [
	["site", "call instead of nop at the site, and its ret", "bare_call", "nop_site"],
	["trampoline", "trampoline: pt_regs saved and restored", "bare_trampoline", "bare_call"],
	["gate", "gate: from the guest to TypeScript and back", "tracer", "bare_trampoline"],
	["handler", "klp_ftrace_handler(), back to the original", "replace/patched", "tracer"],
	["return", "redirection: rip stored, return to another function", "depth1", "replace/patched"],
] as const;

/** Times as differences between cases. Absent if a design lacks one of the cases. */
export function splitTimes(rounds: Rounds, design: string, cpu: string): Measured[] {
	const rows: Measured[] = [];
	for (const [id, what, withIt, without] of PARTS) {
		const [more, less] = [rounds.get(withIt), rounds.get(without)];
		if (more === undefined || less === undefined) continue;
		const value = more.ns - less.ns;
		const within = Math.max(more.within, less.within);
		rows.push({ suite: "split", id, what, design, cpu, unit: "ns/call", value, exact: false, within });
	}
	return rows;
}

/** The part to which an address belongs; `handled`: the call has passed the gate. */
function partOf(symbol: string, handled: boolean): string {
	if (symbol.startsWith("ftrace_trampoline["))
		return handled ? "trampoline, behind the gate" : "trampoline, before the gate";
	if (symbol.startsWith("klp_ftrace_handler")) return "gate (nop, ret)";
	if (symbol.startsWith("traced+")) return "call at the site";
	if (symbol.startsWith("lp_first+")) return "new function";
	return "caller and loop";
}

/** The instructions of one redirected call, by part: from one visit of the call site to the next. */
export function splitInstructions(rig: Rig, design: string, cpu: string): Measured[] {
	const { machine } = rig;
	const site = machine.ftrace.ftrace_location(rig.address("traced"));
	const parts = new Map<string, number>();
	let visits = 0;
	let handled = false;
	const instruction = (rip: bigint) => {
		const ip = Number(BigInt.asIntN(32, rip));
		if (ip === site) {
			visits++;
			handled = false;
		}
		if (visits !== 1) return;
		const symbol = machine.symbolize(ip);
		const part = partOf(symbol, handled);
		handled ||= part.startsWith("gate");
		parts.set(part, (parts.get(part) ?? 0) + 1);
	};
	const unsubscribe = machine.observe({ instruction });
	try {
		rig.call(2);
	} finally {
		unsubscribe();
	}
	return [...parts].map(([what, value]) => ({
		suite: "split",
		id: `insns: ${what}`,
		what,
		design,
		cpu,
		unit: "insns/call" as const,
		value,
		exact: true,
	}));
}
