import { pointedCode } from "./check-functions.js";
import type { CallGraph, Code } from "./code.js";
import type { CallbackField } from "./layout.js";
import type { ModuleFile } from "./module-file.js";
import { followRegisters } from "./registers.js";
import { placeOf, type Subject } from "./subject.js";

/** What is done in the first is undone in the second (Documentation/livepatch/callbacks.rst). */
const PAIRS: readonly (readonly [CallbackField, CallbackField])[] = [
	["pre_patch", "post_unpatch"],
	["post_patch", "pre_unpatch"],
];
/** Calls that change nothing that would have to be undone. */
const HARMLESS =
	/^(__fentry__|__x86_return_thunk|__x86_indirect_thunk_\w+|_printk|_dev_\w+|__warn_printk|__dynamic_pr_debug|__stack_chk_fail|str\w+|mem(cmp|chr)|klp_get_(prev_)?state|klp_shadow_get)$/;
const RSP = 4;
const RBP = 5;

/** The callbacks of the objects. */
export function checkCallbacks(subject: Subject, graph: CallGraph): void {
	const { file, found } = subject;
	for (const { objects = [] } of subject.patches) {
		for (const object of objects) {
			const place = placeOf(object);
			const codes = new Map<CallbackField, Code>();
			for (const [field, pointer] of object.callbacks) {
				const code = pointedCode(subject, { ...place, in: field }, field, pointer);
				if (code !== undefined) codes.set(field, code);
			}
			for (const [first, second] of PAIRS) {
				const code = codes.get(first);
				if (code === undefined || object.callbacks.has(second) || !changesSomething(file, graph, code)) continue;
				found.add("callback-pair", { ...place, in: code.name }, `it has ${first} and no ${second}`);
			}
		}
	}
}

/** True if a function calls others or writes memory that is not on its stack. */
function changesSomething(file: ModuleFile, graph: CallGraph, code: Code): boolean {
	for (const step of graph.reachable(code)) {
		if (graph.branches(step).some(({ to }) => to.kind === "elsewhere" && !HARMLESS.test(to.symbol))) return true;
		let writes = false;
		const complete = followRegisters(file, step, ({ instruction, writesMemory }) => {
			const [to] = instruction.operands;
			const onStack = to?.kind === "mem" && (to.base === RSP || to.base === RBP);
			const calls = instruction.row.semantic === "call_indirect";
			if ((writesMemory && !onStack) || calls) writes = true;
		});
		if (writes || !complete) return true;
	}
	return false;
}
