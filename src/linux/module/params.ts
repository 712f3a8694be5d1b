import { declareState } from "../../base/index.js";
import { type Kaddr, type Memory, toU64 } from "../../memory/index.js";
import { type GuestArguments, type GuestCalls, GuestMemory, type Heap, type HostFunctions } from "../guest/index.js";
import { kstrtobool } from "../klp/index.js";
import { EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM, ERANGE, EROFS, type Kernel, type Printer } from "../lib/index.js";

/** struct kernel_param, kparam_array, kparam_string and kernel_param_ops (include/linux/moduleparam.h). */
const PARAM = { name: 0, ops: 16, perm: 24, flags: 27, arg: 32, size: 40 } as const;
const ARRAY = { max: 0, elemsize: 4, num: 8, ops: 16, elem: 24 } as const;
const STRING = { maxlen: 0, string: 8 } as const;
const OPS = { flags: 0, set: 8, get: 16, free: 24 } as const;
const KERNEL_PARAM_OPS_FL_NOARG = 1;
const KERNEL_PARAM_FL_UNSAFE = 1;
const PAGE = 4096;
/** The longest text that a charp takes. */
const CHARP_MAX = 1024;

/** A parameter of a loaded module: an entry of its section __param. */
export interface Param {
	readonly name: string;
	/** Its struct kernel_param. */
	readonly address: Kaddr;
	/** Mode of its file in /sys/module/NAME/parameters; 0: there is no file. */
	readonly perm: number;
}

/** Integer types by the name of their param_ops: bytes, and whether signed. */
const INTEGERS: Readonly<Record<string, { readonly size: 1 | 2 | 4 | 8; readonly signed: boolean }>> = {
	byte: { size: 1, signed: false },
	short: { size: 2, signed: true },
	ushort: { size: 2, signed: false },
	int: { size: 4, signed: true },
	uint: { size: 4, signed: false },
	long: { size: 8, signed: true },
	ulong: { size: 8, signed: false },
	ullong: { size: 8, signed: false },
	hexint: { size: 4, signed: false },
};

/** `%#08x`: eight characters, with the 0x that a 0 does not have. */
function hexint(value: bigint): string {
	const digits = value.toString(16);
	return value === 0n ? digits.padStart(8, "0") : `0x${digits.padStart(6, "0")}`;
}

/** What the kstrto*() functions read with base 0; undefined: not a number. */
function kstrtoll(text: string): { readonly number: bigint; readonly negative: boolean } | undefined {
	const [, sign, digits] = /^([-+]?)(0[xX][\da-fA-F]+|0[0-7]*|[1-9]\d*)\n?$/.exec(text) ?? [];
	if (digits === undefined) return undefined;
	const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
	const negative = sign === "-";
	return { number: negative ? -value : value, negative };
}

/** Module parameters (kernel/params.c): reads and writes them with the module's own param_ops. */
export class Params {
	static readonly state = declareState("Params", { fields: ["charps"] });

	readonly #memory: GuestMemory;
	readonly #heap: Heap;
	readonly #calls: GuestCalls;
	readonly #print: Printer;
	/** Texts that param_set_charp() has allocated and must free. */
	private readonly charps = new Set<Kaddr>();

	constructor(memory: Memory, heap: Heap, calls: GuestCalls, print: Printer) {
		this.#memory = new GuestMemory(memory);
		this.#heap = heap;
		this.#calls = calls;
		this.#print = print;
	}

	/** The parameters in the sections __param of an image. */
	list(sections: readonly { readonly address: Kaddr; readonly size: number }[]): Param[] {
		const params: Param[] = [];
		for (const { address, size } of sections) {
			for (let at = address; at < address + size; at = (at + PARAM.size) | 0) {
				const name = this.#memory.string(this.#memory.u64(at));
				params.push({ name, address: at, perm: this.#memory.u32((at + PARAM.perm) | 0) & 0xffff });
			}
		}
		return params;
	}

	/** parse_args(): 0, or the errno of the last parameter that does not take its value. */
	*parse(module: string, params: readonly Param[], values: ReadonlyMap<string, string>): Kernel<number> {
		let err = 0;
		const underscores = (name: string) => name.replaceAll("-", "_");
		for (const [name, value] of values) {
			const param = params.find((candidate) => underscores(candidate.name) === underscores(name));
			if (param === undefined) {
				this.#print.pr_warn(`${module}: unknown parameter '${name}' ignored`);
				continue;
			}
			const { ret, left } = yield* this.#set(param.address, this.#given(param, value));
			if (ret === 0) continue;
			if (ret === -ENOENT) this.#print.pr_err(`${module}: Unknown parameter \`${name}'`);
			else if (ret === -ENOSPC) this.#print.pr_err(`${module}: \`${left}' too large for parameter \`${name}'`);
			else this.#print.pr_err(`${module}: \`${left}' invalid for parameter \`${name}'`);
			err = ret;
		}
		return err;
	}

	/** NULL where a parameter that needs no value has none: `insmod m flag`. */
	#given(param: Param, value: string): string | undefined {
		const flags = this.#memory.u32(this.#memory.kaddr((param.address + PARAM.ops) | 0));
		return value === "" && flags & KERNEL_PARAM_OPS_FL_NOARG ? undefined : value;
	}

	#ops(param: Kaddr, offset: number): Kaddr {
		return this.#memory.kaddr((this.#memory.kaddr((param + PARAM.ops) | 0) + offset) | 0);
	}

	/** param_attr_store(): 0 or a negative errno. */
	*write(param: Param, value: string): Kernel<number> {
		if (this.#ops(param.address, OPS.set) === 0) return -EPERM;
		return (yield* this.#set(param.address, value)).ret;
	}

	/** Its result, and what set() has left of the text: param_array() cuts it at the first comma. */
	*#set(param: Kaddr, value: string | undefined): Kernel<{ ret: number; left: string }> {
		// param_check_unsafe()
		if (this.#memory.u8((param + PARAM.flags) | 0) & KERNEL_PARAM_FL_UNSAFE) {
			const name = this.#memory.string(this.#memory.u64(param));
			this.#print.pr_notice(`Setting dangerous option ${name} - tainting kernel`);
		}
		const text = value === undefined ? 0 : this.#heap.kstrdup(value);
		const set = this.#ops(param, OPS.set);
		const ret = Number(BigInt.asIntN(32, yield* this.#calls.call(set, toU64(text), toU64(param))));
		if (text === 0) return { ret, left: "" };
		const left = this.#memory.string(toU64(text));
		// charp keeps a copy.
		this.#heap.kfree(text);
		return { ret, left };
	}

	/** param_attr_show(): the text of the parameter's file, with its newline, or a negative errno. */
	*get(param: Param): Kernel<string | number> {
		const get = this.#ops(param.address, OPS.get);
		if (get === 0) return -EPERM;
		const buffer = this.#heap.kmalloc(PAGE, true);
		const args = [toU64(buffer), toU64(param.address)];
		const length = Number(BigInt.asIntN(32, yield* this.#calls.call(get, ...args)));
		const text = length < 0 ? length : new TextDecoder().decode(this.#memory.read(buffer, Math.min(length, PAGE - 1)));
		this.#heap.kfree(buffer);
		return text;
	}

	/** destroy_params(): frees the memory of the parameters of a module. */
	*destroy(params: readonly Param[]): Kernel<void> {
		for (const { address } of params) {
			const free = this.#ops(address, OPS.free);
			if (free !== 0) yield* this.#calls.call(free, this.#memory.u64((address + PARAM.arg) | 0));
		}
	}

	/** maybe_kfree_parameter(): a text in the module's own data is not freed. */
	#freeCharp(at: Kaddr): void {
		const text = this.#memory.kaddr(at);
		if (this.charps.delete(text)) this.#heap.kfree(text);
	}

	#arg(args: GuestArguments): Kaddr {
		return this.#memory.kaddr((args.pointer(1) + PARAM.arg) | 0);
	}

	/** Writes the result of a get() into its buffer. */
	#answer(args: GuestArguments, text: string): number {
		const bytes = new TextEncoder().encode(`${text}\n`);
		this.#memory.write(args.pointer(0), bytes);
		return bytes.length;
	}

	#integer(type: string): HostFunctions["plain"] {
		const memory = this.#memory;
		const { size, signed } = INTEGERS[type]!;
		const wrapped = (value: bigint) => (signed ? BigInt.asIntN(8 * size, value) : BigInt.asUintN(8 * size, value));
		return {
			[`param_set_${type}`]: (args) => {
				const value = kstrtoll(args.string(0));
				// An unsigned number has no sign.
				if (value === undefined || (!signed && value.negative)) return -EINVAL;
				if (wrapped(value.number) !== value.number) return -ERANGE;
				const bytes = new Uint8Array(new BigUint64Array([BigInt.asUintN(64, value.number)]).buffer);
				memory.write(this.#arg(args), bytes.subarray(0, size));
				return 0;
			},
			[`param_get_${type}`]: (args) => {
				const bytes = new Uint8Array(8);
				bytes.set(memory.read(this.#arg(args), size));
				const value = wrapped(new BigUint64Array(bytes.buffer)[0]!);
				return this.#answer(args, type === "hexint" ? hexint(value) : String(value));
			},
		};
	}

	/** param_set_bool(): without a value a bool is set. */
	#bool(args: GuestArguments): boolean | undefined {
		return kstrtobool(args.pointer(0) === 0 ? "1" : args.string(0));
	}

	#bools(): HostFunctions["plain"] {
		const memory = this.#memory;
		const set = (write: (at: Kaddr, value: boolean) => number | undefined) => (args: GuestArguments) => {
			const value = this.#bool(args);
			return value === undefined ? -EINVAL : (write(this.#arg(args), value) ?? 0);
		};
		const answer = (yes: string, no: string) => (args: GuestArguments) =>
			this.#answer(args, memory.u8(this.#arg(args)) === 0 ? no : yes);
		return {
			param_set_bool: set((at, value) => void memory.setU8(at, Number(value))),
			param_get_bool: answer("Y", "N"),
			param_set_invbool: set((at, value) => void memory.setU8(at, Number(!value))),
			param_get_invbool: answer("N", "Y"),
			param_set_bint: set((at, value) => void memory.setU32(at, Number(value))),
			param_set_bool_enable_only: set((at, value) => {
				if (!value && memory.u8(at) !== 0) return -EROFS;
				if (value) memory.setU8(at, 1);
				return undefined;
			}),
		};
	}

	/** The name in a struct kernel_param, for messages. */
	#name(args: GuestArguments): string {
		return this.#memory.string(this.#memory.u64(args.pointer(1)));
	}

	#strings(): HostFunctions["plain"] {
		const memory = this.#memory;
		return {
			param_set_charp: (args) => {
				const given = args.string(0);
				if (new TextEncoder().encode(given).length > CHARP_MAX) {
					this.#print.pr_err(`${this.#name(args)}: string parameter too long`);
					return -ENOSPC;
				}
				const text = this.#heap.kstrdup(given);
				if (text === 0) return -ENOMEM;
				this.#freeCharp(this.#arg(args));
				this.charps.add(text);
				memory.setU64(this.#arg(args), toU64(text));
				return 0;
			},
			param_free_charp: (args) => {
				this.#freeCharp(args.pointer(0));
				return undefined;
			},
			param_get_charp: (args) => {
				const text = memory.u64(this.#arg(args));
				return this.#answer(args, text === 0n ? "(null)" : memory.string(text));
			},
			param_set_copystring: (args) => {
				const [string, bytes] = [this.#arg(args), new TextEncoder().encode(`${args.string(0)}\0`)];
				const maxlen = memory.u32((string + STRING.maxlen) | 0);
				if (bytes.length > maxlen) {
					this.#print.pr_err(`${this.#name(args)}: string doesn't fit in ${maxlen - 1} chars.`);
					return -ENOSPC;
				}
				memory.write(memory.kaddr((string + STRING.string) | 0), bytes);
				return 0;
			},
			param_get_string: (args) => this.#answer(args, memory.string(memory.u64((this.#arg(args) + STRING.string) | 0))),
		};
	}

	/** (val, kp, min, max) */
	#uintMinmax(args: GuestArguments): number {
		if (args.pointer(0) === 0) return -EINVAL;
		const value = kstrtoll(args.string(0));
		if (value === undefined || value.negative) return -EINVAL;
		if (value.number > 0xffff_ffffn) return -ERANGE;
		const number = Number(value.number);
		if (number < args.u32(2) || number > args.u32(3)) return -EINVAL;
		this.#memory.setU32(this.#arg(args), number);
		return 0;
	}

	/** The set() and get() of the kernel's own types, which asm/vmlinux/kernel.c puts into structs. */
	functions(): HostFunctions {
		return {
			plain: {
				...Object.assign({}, ...Object.keys(INTEGERS).map((type) => this.#integer(type))),
				...this.#bools(),
				...this.#strings(),
				param_set_uint_minmax: (args) => this.#uintMinmax(args),
			},
			sleeping: {
				param_array_set: (args) => this.#setArray(args),
				param_array_get: (args) => this.#getArray(args),
				param_array_free: (args) => this.#freeArray(args.pointer(0)),
			},
		};
	}

	/** The address of an element. */
	#element(array: Kaddr, index: number): bigint {
		const elemsize = this.#memory.u32((array + ARRAY.elemsize) | 0);
		return this.#memory.u64((array + ARRAY.elem) | 0) + BigInt(index * elemsize);
	}

	/** A function of the elements' type; 0: there is none. */
	#elementOps(array: Kaddr, offset: number): Kaddr {
		return this.#memory.kaddr((this.#memory.kaddr((array + ARRAY.ops) | 0) + offset) | 0);
	}

	/** A copy of a struct kernel_param, for an element of an array. */
	#copy(param: Kaddr): Kaddr {
		const copy = this.#heap.kmalloc(PARAM.size, true);
		this.#memory.write(copy, this.#memory.read(param, PARAM.size));
		return copy;
	}

	/** param_array(): each comma of the text becomes its end, also for whoever prints the text afterwards. */
	*#setArray(args: GuestArguments): Kernel<number> {
		const memory = this.#memory;
		const [text, array] = [args.pointer(0), this.#arg(args)];
		const [max, num] = [memory.u32((array + ARRAY.max) | 0), memory.kaddr((array + ARRAY.num) | 0)];
		const set = this.#elementOps(array, OPS.set);
		const element = this.#copy(args.pointer(1));
		const count = (value: number) => num !== 0 && memory.setU32(num, value);
		const values = args.string(0).split(",");
		let [ret, at] = [0, text];
		count(0);
		for (const [index, value] of values.entries()) {
			if (index === max) {
				this.#print.pr_err(`${this.#name(args)}: can only take ${max} arguments`);
				ret = -EINVAL;
				break;
			}
			const length = new TextEncoder().encode(value).length;
			memory.setU8((at + length) | 0, 0);
			memory.setU64((element + PARAM.arg) | 0, this.#element(array, index));
			ret = Number(BigInt.asIntN(32, yield* this.#calls.call(set, toU64(at), toU64(element))));
			if (ret !== 0) break;
			at = (at + length + 1) | 0;
			count(index + 1);
		}
		this.#heap.kfree(element);
		return ret;
	}

	#count(array: Kaddr): number {
		const num = this.#memory.kaddr((array + ARRAY.num) | 0);
		return this.#memory.u32(num === 0 ? (array + ARRAY.max) | 0 : num);
	}

	*#getArray(args: GuestArguments): Kernel<number> {
		const memory = this.#memory;
		const [buffer, array] = [args.pointer(0), this.#arg(args)];
		const get = this.#elementOps(array, OPS.get);
		const element = this.#copy(args.pointer(1));
		let [off, ret] = [0, 0];
		for (let index = 0; index < this.#count(array); index++) {
			// In place of the newline behind the element before.
			if (index > 0) memory.setU8((buffer + off - 1) | 0, ",".charCodeAt(0));
			memory.setU64((element + PARAM.arg) | 0, this.#element(array, index));
			ret = Number(BigInt.asIntN(32, yield* this.#calls.call(get, toU64(buffer) + BigInt(off), toU64(element))));
			if (ret < 0) break;
			off += ret;
		}
		this.#heap.kfree(element);
		return ret < 0 ? ret : off;
	}

	*#freeArray(array: Kaddr): Kernel<undefined> {
		const free = this.#elementOps(array, OPS.free);
		if (free === 0) return undefined;
		for (let index = 0; index < this.#count(array); index++) yield* this.#calls.call(free, this.#element(array, index));
		return undefined;
	}
}
