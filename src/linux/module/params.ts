import { declareState } from "../../base/index.js";
import { type Kaddr, type Memory, toU64 } from "../../memory/index.js";
import { type GuestArguments, type GuestCalls, GuestMemory, type Heap, type HostFunctions } from "../guest/index.js";
import { kstrtobool } from "../klp/index.js";
import { EINVAL, ENOENT, ENOMEM, type Kernel, type Printer } from "../lib/index.js";

/** struct kernel_param, kparam_array and kernel_param_ops (include/linux/moduleparam.h). */
const PARAM = { name: 0, ops: 16, perm: 24, arg: 32, size: 40 } as const;
const ARRAY = { max: 0, elemsize: 4, num: 8, ops: 16, elem: 24 } as const;
const OPS = { flags: 0, set: 8, get: 16, free: 24 } as const;
const KERNEL_PARAM_OPS_FL_NOARG = 1;
const PAGE = 4096;

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

/** kstrtoll() with base 0; undefined: not a number. */
function kstrtoll(text: string): bigint | undefined {
	const [, sign, digits] = /^([-+]?)(0[xX][\da-fA-F]+|0[0-7]*|[1-9]\d*)\n?$/.exec(text) ?? [];
	if (digits === undefined) return undefined;
	const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
	return sign === "-" ? -value : value;
}

/** Module parameters (kernel/params.c): reads and writes them with the module's own param_ops. */
export class Params {
	static readonly state = declareState({ fields: ["charps"] });

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

	/** parse_args(): 0, or the errno of the first parameter that does not take its value. */
	*parse(module: string, params: readonly Param[], values: ReadonlyMap<string, string>): Kernel<number> {
		for (const [name, value] of values) {
			// A dash and an underscore are the same.
			const param = params.find((candidate) => candidate.name === name.replaceAll("-", "_"));
			if (param === undefined) {
				this.#print.pr_warn(`${module}: unknown parameter '${name}' ignored`);
				continue;
			}
			const ret = yield* this.set(param, value);
			if (ret === 0) continue;
			if (ret === -ENOENT) this.#print.pr_err(`${module}: Unknown parameter \`${name}'`);
			else this.#print.pr_err(`${module}: \`${value}' invalid for parameter \`${name}'`);
			return ret;
		}
		return 0;
	}

	#ops(param: Kaddr, offset: number): Kaddr {
		return this.#memory.kaddr((this.#memory.kaddr((param + PARAM.ops) | 0) + offset) | 0);
	}

	/** 0 or a negative errno. */
	*set(param: Param, value: string): Kernel<number> {
		const flags = this.#memory.u32(this.#memory.kaddr((param.address + PARAM.ops) | 0));
		if (value === "" && !(flags & KERNEL_PARAM_OPS_FL_NOARG)) return -EINVAL;
		return yield* this.#setFrom(param.address, value);
	}

	*#setFrom(param: Kaddr, value: string): Kernel<number> {
		const text = this.#heap.kstrdup(value);
		const set = this.#ops(param, OPS.set);
		const ret =
			set === 0 ? -EINVAL : Number(BigInt.asIntN(32, yield* this.#calls.call(set, toU64(text), toU64(param))));
		// charp keeps a copy.
		this.#heap.kfree(text);
		return ret;
	}

	/** The text of the parameter's file, with its newline, or a negative errno. */
	*get(param: Param): Kernel<string | number> {
		return yield* this.#getFrom(param.address);
	}

	*#getFrom(param: Kaddr): Kernel<string | number> {
		const buffer = this.#heap.kmalloc(PAGE, true);
		const get = this.#ops(param, OPS.get);
		const args = [toU64(buffer), toU64(param)];
		const length = get === 0 ? -EINVAL : Number(BigInt.asIntN(32, yield* this.#calls.call(get, ...args)));
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
				if (value === undefined || wrapped(value) !== value) return -EINVAL;
				const bytes = new Uint8Array(new BigUint64Array([BigInt.asUintN(64, value)]).buffer);
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

	/** The set() and get() of the kernel's own types, which asm/vmlinux/kernel.c puts into structs. */
	functions(): HostFunctions {
		const memory = this.#memory;
		return {
			plain: {
				...Object.assign({}, ...Object.keys(INTEGERS).map((type) => this.#integer(type))),
				param_set_bool: (args) => {
					// Without a value a bool is set.
					const value = kstrtobool(args.string(0) || "1");
					if (value === undefined) return -EINVAL;
					memory.setU8(this.#arg(args), Number(value));
					return 0;
				},
				param_get_bool: (args) => this.#answer(args, memory.u8(this.#arg(args)) === 0 ? "N" : "Y"),
				param_set_charp: (args) => {
					const text = this.#heap.kstrdup(args.string(0));
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
			},
			sleeping: {
				param_array_set: (args) => this.#setArray(args.string(0), this.#arg(args)),
				param_array_get: (args) => this.#getArray(args, this.#arg(args)),
			},
		};
	}

	/** A struct kernel_param for one element of an array. */
	#element(array: Kaddr, index: number): Kaddr {
		const param = this.#heap.kmalloc(PARAM.size, true);
		const elemsize = this.#memory.u32((array + ARRAY.elemsize) | 0);
		this.#memory.setU64((param + PARAM.ops) | 0, this.#memory.u64((array + ARRAY.ops) | 0));
		this.#memory.setU64((param + PARAM.arg) | 0, this.#memory.u64((array + ARRAY.elem) | 0) + BigInt(index * elemsize));
		return param;
	}

	*#setArray(text: string, array: Kaddr): Kernel<number> {
		const memory = this.#memory;
		const values = text.split(",");
		const num = memory.kaddr((array + ARRAY.num) | 0);
		if (values.length > memory.u32((array + ARRAY.max) | 0)) return -EINVAL;
		for (const [index, value] of values.entries()) {
			const element = this.#element(array, index);
			const ret = yield* this.#setFrom(element, value);
			this.#heap.kfree(element);
			if (ret !== 0) return ret;
			if (num !== 0) memory.setU32(num, index + 1);
		}
		return 0;
	}

	*#getArray(args: GuestArguments, array: Kaddr): Kernel<number> {
		const memory = this.#memory;
		const num = memory.kaddr((array + ARRAY.num) | 0);
		const count = memory.u32(num === 0 ? (array + ARRAY.max) | 0 : num);
		const texts: string[] = [];
		for (let index = 0; index < count; index++) {
			const element = this.#element(array, index);
			const text = yield* this.#getFrom(element);
			this.#heap.kfree(element);
			if (typeof text === "number") return text;
			texts.push(text.trimEnd());
		}
		return this.#answer(args, texts.join(","));
	}
}
