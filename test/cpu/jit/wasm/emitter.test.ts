import { expect, test } from "vitest";
import { buildModule, Code, OP } from "../../../../src/cpu/jit/wasm/index.js";

const SECTION = "metadata.code.branch_hint";
const [IF, BR_IF] = [0x04, 0x0d];

/** A reader of the unsigned numbers of the binary format. */
function reader(bytes: Uint8Array, from = 0) {
	let at = from;
	const byte = (): number => bytes[at++]!;
	const unsigned = (): number => {
		let [value, shift, next] = [0, 0, 0x80];
		for (; next >= 0x80; shift += 7) {
			next = byte();
			value |= (next & 0x7f) << shift;
		}
		return value;
	};
	const skip = (count: number): void => {
		at += count;
	};
	return { byte, unsigned, skip, place: () => at };
}

/** Where the body of each function begins, with its locals. */
function bodies(module: Uint8Array): number[] {
	const r = reader(module, 8);
	for (;;) {
		const id = r.byte();
		const size = r.unsigned();
		if (id !== 10) {
			r.skip(size);
			continue;
		}
		return Array.from({ length: r.unsigned() }, () => {
			const length = r.unsigned();
			const start = r.place();
			r.skip(length);
			return start;
		});
	}
}

/** [function, opcode of the hinted instruction, likely] of all hints. */
function hints(module: Uint8Array<ArrayBuffer>, imported: number): number[][] {
	const [section] = WebAssembly.Module.customSections(new WebAssembly.Module(module), SECTION);
	if (section === undefined) return [];
	const r = reader(new Uint8Array(section));
	const found: number[][] = [];
	for (let functions = r.unsigned(); functions > 0; functions--) {
		const index = r.unsigned();
		for (let left = r.unsigned(); left > 0; left--) {
			const offset = r.unsigned();
			expect(r.unsigned()).toBe(1);
			found.push([index, module[bodies(module)[index - imported]! + offset]!, r.byte()]);
		}
	}
	return found;
}

const SIGNATURE = { params: ["i32"], results: ["i32"] } as const;

test("a hint is of the branch before which it was given, whatever is put in front of it later", () => {
	const plain = new Code(1);
	plain.get(0);
	const hinted = new Code(1);
	const out = hinted.block();
	hinted.get(0).hint(false).brIf(out);
	hinted.get(0).hint(true).if();
	hinted.get(hinted.local("i64")).op("drop");
	hinted.end();
	hinted.end();
	// More than 127 bytes, so that numbers in front of the branches become longer, too.
	hinted.prepend(() => {
		for (let n = 0; n < 100; n++) hinted.get(0).op("drop");
		hinted.get(0).hint(false).if();
		hinted.end();
	});
	hinted.get(0);
	const imports = [{ name: "f", signature: SIGNATURE }];
	const module = buildModule(1, imports, [
		{ signature: SIGNATURE, code: plain },
		{ signature: SIGNATURE, code: hinted },
	]);
	expect(hints(module, 1)).toEqual([
		[2, IF, 0],
		[2, BR_IF, 0],
		[2, IF, 1],
	]);
});

test("without hints there is no section of hints", () => {
	const code = new Code(1);
	code.get(0).op("i32.eqz");
	expect(OP["i32.eqz"]).toBe(0x45);
	expect(hints(buildModule(1, [], [{ signature: SIGNATURE, code }]), 0)).toEqual([]);
});
