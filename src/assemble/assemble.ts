import { KlpemuError } from "../base/index.js";
import { isKaddr, type Kaddr, toKaddr, toU64 } from "../memory/index.js";
import { HintTable, type UnwindHint } from "./hints.js";
import type { Keystone } from "./keystone.js";
import { type PreparedSource, prepareSource } from "./source.js";

/** Machine code for one base address. */
export interface Assembled {
	readonly base: Kaddr;
	readonly bytes: Uint8Array;
	/** Labels, in the order of the source. */
	readonly symbols: ReadonlyMap<string, Kaddr>;
	/** Unwind rows by offset from `base`: `hints.row(ip - base)`. */
	readonly hints: HintTable;
}

/** A RIP-relative reference to an external symbol: the displacement ends at the label `after`. */
interface RipReference {
	readonly name: string;
	readonly after: string;
	readonly line: number;
}

/**
 * Assembles AT&T source with Keystone, for `base`. Numbers are decimal unless they say 0x, as in GNU as. `externals` are symbols
 * that calls, jumps, immediates and `NAME(%rip)` may refer to; labels are as in GNU as, but for numeric ones (`1f`).
 *
 * `UNWIND_HINT rsp+N [signal]` says that from here on the CFA is rsp+N (`signal`: the return address is where the caller goes
 * on, not behind its call); `UNWIND_HINT undefined` says that the stack ends here,
 * `UNWIND_HINT none` that the caller cannot be found from here.
 *
 * Throws `ASM_ERROR`, `ASM_UNDEFINED_SYMBOL`, `ASM_BAD_HINT` or `ASM_UNSUPPORTED`, with file and line.
 */
export function assemble(
	keystone: Keystone,
	source: string,
	fileName: string,
	base: Kaddr,
	externals: Readonly<Record<string, Kaddr>>,
): Assembled {
	const prepared = prepareSource(source, fileName);
	const references = [...prepared.references];
	const missing = references.filter((name) => !Object.hasOwn(externals, name));
	if (missing.length > 0) {
		const line = prepared.lines.findIndex((text) => text.includes(missing[0]!)) + 1;
		throw new KlpemuError("ASM_UNDEFINED_SYMBOL", `undefined: ${missing.map((name) => `'${name}'`).join(", ")}`, {
			where: `${fileName}:${line}`,
		});
	}
	const { code, rips, hintLabels } = instrument(prepared, references, externals, fileName);
	const { bytes, labels } = withLabels(
		keystone,
		code,
		base,
		[...prepared.labels, ...hintLabels, ...rips.flatMap(({ after }) => after)],
		fileName,
		prepared,
	);
	for (const { name, after, line } of rips) {
		patchRip(bytes, base, labels.get(after)!, externals[name]!, `${fileName}:${line + 1}`);
	}
	const hints: UnwindHint[] = prepared.hints.map(({ row }, index) => ({
		offset: labels.get(hintLabels[index]!)! - base,
		row,
	}));
	return {
		base,
		bytes,
		symbols: new Map(prepared.labels.map((label) => [label, labels.get(label)!])),
		hints: new HintTable(hints),
	};
}

/** Placeholder for the displacement to an external symbol until it is patched; no source uses this value. */
const RIP_MARKER = 0x5a5a5a5a;

/** Adds the labels that locate hints and references in the output: one at each hint, one behind each external RIP reference. */
function instrument(
	prepared: PreparedSource,
	references: readonly string[],
	externals: Readonly<Record<string, Kaddr>>,
	fileName: string,
): { code: string[]; rips: RipReference[]; hintLabels: string[] } {
	const code = prepared.lines.slice();
	const rips: RipReference[] = [];
	const hintLabels: string[] = [];
	for (const [line, text] of prepared.lines.entries()) {
		const name = /([A-Za-z_.][\w.$]*)\(%rip\)/.exec(text)?.[1];
		if (name === undefined || !references.includes(name)) continue;
		if (text.includes(";")) {
			const message = "an external (%rip) reference must stand on a line of its own";
			throw new KlpemuError("ASM_UNSUPPORTED", message, { where: `${fileName}:${line + 1}` });
		}
		const after = `.Lklpemu_rip${rips.length}`;
		// Keystone takes an absolute symbol for the displacement itself, so the displacement is patched afterwards.
		code[line] = `${text.replace(`${name}(%rip)`, `0x${RIP_MARKER.toString(16)}(%rip)`)}; ${after}:`;
		rips.push({ name, after, line });
	}
	for (const [index, { line }] of prepared.hints.entries()) {
		const label = `.Lklpemu_hint${index}`;
		code[line] = `${label}:`;
		hintLabels.push(label);
	}
	for (const name of references) code[0] = `.set ${name}, 0x${toU64(externals[name]!).toString(16)}; ${code[0] ?? ""}`;
	return { code, rips, hintLabels };
}

/** For some invalid combinations of operands Keystone reports success and returns no code. */
const SHORT = "Keystone gave no code";

/** Assembles with a table of the addresses of all labels behind the code, and removes the table from the result. */
function withLabels(
	keystone: Keystone,
	code: readonly string[],
	base: Kaddr,
	labels: readonly string[],
	fileName: string,
	prepared: PreparedSource,
): { bytes: Uint8Array; labels: Map<string, Kaddr> } {
	const table = labels.map((label) => `.quad ${label}`);
	const result = keystone.run([...code, ...table].join("\n"), toU64(base));
	if ("error" in result) throw locate(keystone, code, result.error, fileName, prepared);
	const size = result.bytes.length - 8 * labels.length;
	if (size < 0) throw locate(keystone, code, SHORT, fileName, prepared);
	const view = new DataView(result.bytes.buffer, result.bytes.byteOffset + size);
	const addresses = new Map<string, Kaddr>();
	for (const [index, label] of labels.entries()) {
		const address = view.getBigUint64(8 * index, true);
		if (!isKaddr(address)) throw new Error(`${fileName}: label '${label}' is at 0x${address.toString(16)}`);
		addresses.set(label, toKaddr(address));
	}
	return { bytes: result.bytes.slice(0, size), labels: addresses };
}

/**
 * Finds the line of an error, which Keystone does not report: the first line for which the source up to it fails with
 * the same error.
 */
function locate(
	keystone: Keystone,
	code: readonly string[],
	error: string,
	fileName: string,
	prepared: PreparedSource,
): KlpemuError {
	let line = code.length;
	for (let lines = 1; lines <= code.length; lines++) {
		// Later labels must be known. Without them, each forward jump would be an error.
		const later = prepared.labels.map((label) => `.set ${label}, 0xffffffff80000000`);
		const before = new Set(
			code.slice(0, lines).flatMap((text) => [...text.matchAll(/([\w.$]+)\s*:/g)].map((m) => m[1]!)),
		);
		const definitions = later.filter((_, index) => !before.has(prepared.labels[index]!));
		const result = keystone.run([...code.slice(0, lines), ...definitions].join("\n"), 0xffffffff80000000n);
		const found =
			"error" in result ? result.error : result.bytes.length === 0 && /^\s*[a-z]/.test(code[lines - 1]!) ? SHORT : "";
		if (found === error) {
			line = lines;
			break;
		}
	}
	return new KlpemuError("ASM_ERROR", `${error}: ${prepared.lines[line - 1]?.trim() ?? ""}`, {
		where: `${fileName}:${line}`,
	});
}

function patchRip(bytes: Uint8Array, base: Kaddr, after: Kaddr, target: Kaddr, where: string): void {
	const at = after - base - 4;
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	if (at < 0 || view.getUint32(at, true) !== RIP_MARKER) {
		const message = "an instruction with an immediate cannot have an external (%rip) operand";
		throw new KlpemuError("ASM_UNSUPPORTED", message, { where });
	}
	view.setInt32(at, target - after, true);
}
