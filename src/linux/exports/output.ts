import { declareState } from "../../base/index.js";
import type { Kaddr, Memory } from "../../memory/index.js";
import { toKaddr } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import { type GuestArguments, type HostFunctions, stringAt } from "../guest/index.js";
import { type Dmesg, type FormatSource, format, KERN } from "../lib/index.js";

/** printk(), sprintf(), seq_printf(). */
export class GuestOutput {
	static readonly state = declareState({ fields: ["files"] });

	readonly #memory: Memory;
	readonly #dmesg: Dmesg;
	readonly #symbols: Symbols;
	/** Text of the files that are being read, by the address of their struct seq_file. */
	private readonly files = new Map<Kaddr, string>();

	constructor(memory: Memory, dmesg: Dmesg, symbols: Symbols) {
		this.#memory = memory;
		this.#dmesg = dmesg;
		this.#symbols = symbols;
	}

	/** The formatted text of a call whose format is argument `at`, and whose other arguments come behind it. */
	#format(args: GuestArguments, at: number): string {
		const memory = this.#memory;
		const source: FormatSource = {
			argument: (index) => args.u64(at + 1 + index),
			string: (address) => stringAt(memory, address),
			symbol: (address, bare) => this.#symbols.sprint_symbol(toKaddr(address), bare),
			u32: (address) => (memory.permissions(address) === 0 ? 0 : memory.u32(toKaddr(address))),
		};
		return format(args.string(at), source);
	}

	#printk(args: GuestArguments): number {
		const text = this.#format(args, 0);
		// KERN_SOH and a digit: the level.
		const hasLevel = text.charCodeAt(0) === 1;
		const level = hasLevel ? Number(text[1]) : KERN.WARNING;
		const body = hasLevel ? text.slice(2) : text;
		for (const line of body.replace(/\n$/, "").split("\n")) this.#dmesg.print(level, line);
		return body.length;
	}

	/** Writes at most `size` bytes, the NUL included; the length that there would have been. */
	#store(to: Kaddr, size: number, text: string): number {
		const bytes = new TextEncoder().encode(text);
		if (size > 0) {
			const kept = bytes.subarray(0, size - 1);
			this.#memory.write(to, Uint8Array.of(...kept, 0));
		}
		return bytes.length;
	}

	#append(m: Kaddr, text: string): void {
		this.files.set(m, (this.files.get(m) ?? "") + text);
	}

	/** What has been written to a seq_file so far; forgets it. */
	takeFile(m: Kaddr): string {
		const text = this.files.get(m) ?? "";
		this.files.delete(m);
		return text;
	}

	functions(): HostFunctions {
		const printk = (args: GuestArguments) => this.#printk(args);
		return {
			plain: {
				_printk: printk,
				printk,
				sprintf: (args) => this.#store(args.pointer(0), Number.POSITIVE_INFINITY, this.#format(args, 1)),
				snprintf: (args) => this.#store(args.pointer(0), Number(args.u64(1)), this.#format(args, 2)),
				seq_printf: (args) => {
					this.#append(args.pointer(0), this.#format(args, 1));
					return undefined;
				},
				seq_puts: (args) => {
					this.#append(args.pointer(0), args.string(1));
					return undefined;
				},
			},
			sleeping: {},
		};
	}
}
