import type { EmscriptenLoader } from "../base/index.js";

/** One instruction as text. */
export interface Instruction {
	readonly address: bigint;
	readonly bytes: Uint8Array;
	/** AT&T syntax, as kernel developers read it: `movq %rax, 0x50(%rsp)`. `(bad)` for a byte that begins no instruction. */
	readonly text: string;
}

/** The part of capstone-js that we use; it comes without types. Its `detail` records are wrong, so we take the text only. */
interface CapstoneModule {
	readonly ARCH_X86: number;
	readonly MODE_64: number;
	readonly OPT_SYNTAX: number;
	readonly OPT_SYNTAX_ATT: number;
	readonly Capstone: new (
		arch: number,
		mode: number,
	) => {
		option(option: number, value: number): void;
		/** Stops at the first byte that it cannot decode; throws if that is the first one. */
		disasm(
			bytes: readonly number[],
			address: bigint,
		): { readonly size: number; readonly mnemonic: string; readonly op_str: string }[];
	};
}

/** Bytes of the longest instruction (SDM volume 2, 2.3.11). */
const LONGEST = 15;
/** Stands for a byte that begins no instruction. */
const BAD = "(bad)";
/** Bytes that are decoded at a time. */
const WINDOW = 512;

/** Turns x86-64 machine code into text, with Capstone. */
export class Disassembler {
	readonly #engine: InstanceType<CapstoneModule["Capstone"]>;

	/** Instantiates the module that `load` gives. */
	static async create(load: EmscriptenLoader): Promise<Disassembler> {
		const capstone = (await (await load()).default({})) as CapstoneModule;
		const engine = new capstone.Capstone(capstone.ARCH_X86, capstone.MODE_64);
		engine.option(capstone.OPT_SYNTAX, capstone.OPT_SYNTAX_ATT);
		return new Disassembler(engine);
	}

	private constructor(engine: InstanceType<CapstoneModule["Capstone"]>) {
		this.#engine = engine;
	}

	/** All the instructions in `bytes`, which lie at `address`. */
	disassemble(bytes: Uint8Array, address: bigint): Instruction[] {
		const out: Instruction[] = [];
		let window = WINDOW;
		for (let at = 0; at < bytes.length; window = out.at(-1)?.text === BAD ? LONGEST : WINDOW) {
			// Not all that is left: Capstone copies it, and starts again behind each undecodable byte.
			const end = Math.min(at + window, bytes.length);
			for (const { size, mnemonic, op_str } of this.#decode(bytes.subarray(at, end), address + BigInt(at))) {
				const text = op_str === "" ? mnemonic : `${mnemonic} ${op_str}`;
				out.push({ address: BigInt.asUintN(64, address + BigInt(at)), bytes: bytes.slice(at, at + size), text });
				at += size;
			}
			// At the end of a window an instruction may be cut; the next window has all of it.
			if (at < end && (end - at >= LONGEST || end === bytes.length)) {
				out.push({
					address: BigInt.asUintN(64, address + BigInt(at)),
					bytes: bytes.slice(at, at + 1),
					text: BAD,
				});
				at++;
			}
		}
		return out;
	}

	/** The instruction that `bytes` begin with, for traces; no instruction is longer than 15 bytes. */
	one(bytes: Uint8Array, address: bigint): Instruction {
		return this.disassemble(bytes.subarray(0, LONGEST), address)[0] ?? { address, bytes, text: BAD };
	}

	#decode(bytes: Uint8Array, address: bigint): { size: number; mnemonic: string; op_str: string }[] {
		try {
			return this.#engine.disasm([...bytes], BigInt.asUintN(64, address));
		} catch {
			// capstone-js throws if it cannot decode the first byte.
			return [];
		}
	}
}
