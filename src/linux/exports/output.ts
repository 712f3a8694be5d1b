import { declareState, KlpemuError } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import { hex, isKaddr, toKaddr } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import type { GuestArguments, GuestMemory, Heap, HostFunctions } from "../guest/index.js";
import { type Dmesg, type FormatSource, format, KERN, vaList, vsscanf } from "../lib/index.js";
import type { Sched } from "../sched/index.js";

/** PRINTKRB_RECORD_MAX of kernel/printk/printk.c: bytes of one message, with the end of its text. */
const PRINTKRB_RECORD_MAX = 1024;
const PAGE = 4096;
/** A kernel forgets its oldest lines. Here they are kept, for reports: code that prints more than this is in a loop without an end. */
export const MAX_LINES = 500_000;
/** Largest size of a file in /proc; further text is dropped. */
const SEQ_FILE_MAX = 4 << 20;

/** printk(), sprintf(), sscanf(), seq_printf(). */
export class GuestOutput {
	static readonly state = declareState("GuestOutput", { fields: ["files"] });

	readonly #memory: GuestMemory;
	readonly #heap: Heap;
	readonly #dmesg: Dmesg;
	readonly #symbols: Symbols;
	readonly #sched: Sched;
	/** Text of the files that are being read, by the address of their struct seq_file. */
	private readonly files = new Map<Kaddr, string>();

	constructor(memory: GuestMemory, heap: Heap, dmesg: Dmesg, symbols: Symbols, sched: Sched) {
		this.#sched = sched;
		this.#memory = memory;
		this.#heap = heap;
		this.#dmesg = dmesg;
		this.#symbols = symbols;
	}

	/** The formatted text of a call whose format is argument `at`, and whose other arguments come behind it. */
	format(args: GuestArguments, at: number): string {
		return format(args.string(at), this.#source(args, at + 1));
	}

	/** The same for functions with a va_list behind the format. */
	#vformat(args: GuestArguments, at: number): string {
		return format(args.string(at), vaList(args.u64(at + 1), this.#source(args, at + 1)));
	}

	/** The arguments begin at `first`. */
	#source(args: GuestArguments, first: number): FormatSource {
		const memory = this.#memory;
		return {
			argument: (index) => args.u64(first + index),
			string: (address, most) => memory.string(address, most),
			symbol: (address, bare) => this.#symbol(address, bare),
			bytes: (address, length) => memory.bytes(address, length),
		};
	}

	/** printk() of a format that is argument `at`. `otherwise`: the level of a format without one. Returns the length. */
	printk(args: GuestArguments, at = 0, otherwise: number = KERN.WARNING): number {
		return this.#print(this.format(args, at), otherwise);
	}

	#print(text: string, otherwise: number): number {
		// KERN_SOH and a digit: the level.
		const hasLevel = text.charCodeAt(0) === 1;
		const level = hasLevel && /[0-7]/.test(text[1] ?? "") ? Number(text[1]) : otherwise;
		const body = (hasLevel ? text.slice(2) : text).slice(0, PRINTKRB_RECORD_MAX - 1);
		if (this.#dmesg.records.length >= MAX_LINES) {
			const message = `guest code prints without an end: dmesg has ${MAX_LINES} lines, the last is '${body.trimEnd()}'`;
			throw new KlpemuError("GUEST_ENDLESS", message);
		}
		this.#dmesg.printText(level, body, this.#sched.current.pid, hasLevel && text[1] === "c");
		return body.length;
	}

	#symbol(address: bigint, bare: boolean): string {
		return isKaddr(address) ? this.#symbols.sprint_symbol(toKaddr(address), bare) : hex(address);
	}

	/** Writes at most `size` bytes, including the NUL. Returns the length of the whole text. */
	#store(to: Kaddr, size: number, text: string): number {
		const bytes = new TextEncoder().encode(text);
		if (size > 0) {
			const kept = bytes.subarray(0, size - 1);
			const stored = new Uint8Array(kept.length + 1);
			stored.set(kept);
			this.#memory.write(to, stored);
		}
		return bytes.length;
	}

	/** The same, and the length of what was written. */
	#storeAll(to: Kaddr, size: number, text: string): number {
		return size === 0 ? 0 : Math.min(this.#store(to, size, text), size - 1);
	}

	/** sysfs_emit(): the buffer of a show() is a page. */
	#emit(buf: Kaddr, at: number, text: string): number {
		const what = "invalid sysfs_emit: buf";
		if (this.#dmesg.WARN_ON(buf === 0 || (buf & (PAGE - 1)) !== 0 || at >= PAGE, what)) return 0;
		return this.#storeAll((buf + at) | 0, PAGE - at, text);
	}

	#append(m: Kaddr, text: string): void {
		this.#memory.checkWritable(m, 8);
		const before = this.files.get(m) ?? "";
		if (before.length < SEQ_FILE_MAX) this.files.set(m, before + text);
	}

	/** Returns the text that has been written to a seq_file, and drops it. */
	takeFile(m: Kaddr): string {
		const text = this.files.get(m) ?? "";
		this.files.delete(m);
		return text;
	}

	functions(): HostFunctions {
		const printk = (args: GuestArguments) => this.printk(args);
		return {
			plain: {
				_printk: printk,
				__warn_printk: printk,
				printk,
				sprintf: (args) => this.#store(args.pointer(0), Number.POSITIVE_INFINITY, this.format(args, 1)),
				snprintf: (args) => this.#store(args.pointer(0), Number(args.u64(1)), this.format(args, 2)),
				scnprintf: (args) => this.#storeAll(args.pointer(0), Number(args.u64(1)), this.format(args, 2)),
				vprintk: (args) => this.#print(this.#vformat(args, 0), KERN.WARNING),
				vsprintf: (args) => this.#store(args.pointer(0), Number.POSITIVE_INFINITY, this.#vformat(args, 1)),
				vsnprintf: (args) => this.#store(args.pointer(0), Number(args.u64(1)), this.#vformat(args, 2)),
				vscnprintf: (args) => this.#storeAll(args.pointer(0), Number(args.u64(1)), this.#vformat(args, 2)),
				kvasprintf: (args) => BigInt(this.#heap.kstrdup(this.#vformat(args, 1))),
				seq_vprintf: (args) => {
					this.#append(args.pointer(0), this.#vformat(args, 1));
					return undefined;
				},
				kasprintf: (args) => BigInt(this.#heap.kstrdup(this.format(args, 1))),
				sscanf: (args) => {
					const { stores, count } = vsscanf(args.string(0), args.string(1));
					for (const [index, bytes] of stores.entries()) this.#memory.write(args.pointer(2 + index), bytes);
					return count;
				},
				sysfs_emit: (args) => this.#emit(args.pointer(0), 0, this.format(args, 1)),
				sysfs_emit_at: (args) => this.#emit(args.pointer(0), args.u32(1), this.format(args, 2)),
				sprint_symbol: (args) => {
					return this.#store(args.pointer(0), Number.POSITIVE_INFINITY, this.#symbol(args.u64(1), false));
				},
				seq_putc: (args) => {
					this.#append(args.pointer(0), String.fromCharCode(args.u32(1) & 0xff));
					return undefined;
				},
				seq_write: (args) => {
					const data = this.#memory.bytes(args.u64(1), Number(args.u64(2)));
					this.#append(args.pointer(0), new TextDecoder().decode(data));
					return 0;
				},
				seq_printf: (args) => {
					this.#append(args.pointer(0), this.format(args, 1));
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
