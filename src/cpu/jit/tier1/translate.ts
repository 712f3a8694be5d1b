import { AREA } from "../area.js";
import { flagsFunction, flagsOfFunction, placeFunction, umulhFunction } from "../semantics/index.js";
import { buildModule, Code } from "../wasm/index.js";
import { after, type RegionInstruction } from "./region.js";
import { ENTRY, FLAGS_OF, FUEL, IMPORTS, StepTranslator } from "./step.js";

const I32 = "i32" as const;

/** A module with `run(entry, fuel)` for the instructions, ordered by address. No jump in it goes to a breakpoint. */
export function translate(
	instructions: readonly RegionInstruction[],
	memoryPages: number,
	isBreakpoint: (address: bigint) => boolean,
): Uint8Array<ArrayBuffer> {
	const code = new Code(2);
	const epoch = code.local("i32");
	const index = new Map<bigint, number>();
	for (const [n, { address }] of instructions.entries()) if (!isBreakpoint(address)) index.set(address, n);
	const exit = code.block();
	code.i32(0).memory("i32.load", AREA.epoch).set(epoch);
	const dispatch = code.loop();
	const translator = new StepTranslator(code, index, exit, dispatch, epoch);
	const labels = instructions.map(() => code.block()).reverse();
	translator.labels = labels;
	code.get(ENTRY);
	code.brTable(labels, labels[0]!);
	for (const [n, entry] of instructions.entries()) {
		code.end();
		translator.position = n;
		translator.emit(entry);
		const next = after(entry);
		const following = instructions[n + 1];
		if (following?.address !== next || isBreakpoint(next)) {
			translator.wrote = false;
			translator.goto("next");
		}
	}
	code.end();
	code.end();
	code.get(FUEL);
	return buildModule(memoryPages, IMPORTS, [
		flagsOfFunction(),
		flagsFunction(FLAGS_OF),
		umulhFunction(),
		{ signature: { params: [I32, I32], results: [I32] }, code, exportAs: "run" },
	]);
}

const PREPARE = { name: "prepare", signature: { params: [I32, I32], results: [I32] } } as const;

/** The module whose `flags()` computes the status flags for the host, and which has the `place` of {@link IMPORTS}. */
export function helperModule(memoryPages: number): Uint8Array<ArrayBuffer> {
	return buildModule(memoryPages, [PREPARE], [flagsOfFunction(), flagsFunction(1, "flags"), placeFunction(0)]);
}
