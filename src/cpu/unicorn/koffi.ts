import { KlpemuError } from "../../errors.js";
import { HOOK, UC_ARCH_X86, UC_MODE_64, type UnicornEngine } from "./engine.js";

/** uc_ctl(UC_CTL_TB_REMOVE_CACHE, write, two arguments). */
const REMOVE_CACHE = 0x48000009;
const LIBRARY = "libunicorn.so.2";

type Koffi = typeof import("koffi");

function loadKoffi(module: unknown): Koffi {
	return ((module as { default?: Koffi }).default ?? module) as Koffi;
}

/** The system's libunicorn 2 through koffi; undefined when koffi or the library is not installed. */
export async function koffiEngine(): Promise<UnicornEngine | undefined> {
	let koffi: Koffi;
	let lib: ReturnType<Koffi["load"]>;
	try {
		koffi = loadKoffi(await import("koffi"));
		lib = koffi.load(LIBRARY);
	} catch {
		return undefined;
	}
	return new KoffiEngine(koffi, lib);
}

class KoffiEngine implements UnicornEngine {
	readonly description: string;
	readonly #koffi: Koffi;
	readonly #uc: unknown;
	readonly #calls;
	readonly #callbacks: bigint[] = [];
	/** Views that are mapped: the engine has pointers into their buffers, so that they must stay reachable. */
	readonly #mapped: Uint8Array[] = [];
	/** Pointers to the words of the last register array, for the batch calls. */
	#words: BigUint64Array | undefined;
	#pointers = new BigUint64Array(0);

	constructor(koffi: Koffi, lib: ReturnType<Koffi["load"]>) {
		this.#koffi = koffi;
		const calls = {
			version: lib.func("unsigned int uc_version(_Out_ unsigned int *major, _Out_ unsigned int *minor)"),
			open: lib.func("int uc_open(int arch, int mode, _Out_ void **uc)"),
			close: lib.func("int uc_close(void *uc)"),
			strerror: lib.func("const char *uc_strerror(int code)"),
			regWrite: lib.func("int uc_reg_write_batch(void *uc, void *ids, void *values, int count)"),
			regRead: lib.func("int uc_reg_read_batch(void *uc, void *ids, void *values, int count)"),
			map: lib.func("int uc_mem_map_ptr(void *uc, uint64_t address, size_t size, uint32_t perms, void *ptr)"),
			unmap: lib.func("int uc_mem_unmap(void *uc, uint64_t address, size_t size)"),
			protect: lib.func("int uc_mem_protect(void *uc, uint64_t address, size_t size, uint32_t perms)"),
			ctl: lib.func("int uc_ctl(void *uc, int control, ...)"),
			hook: lib.func(
				"int uc_hook_add(void *uc, _Out_ size_t *hh, int type, void *callback, void *user, uint64_t begin, uint64_t end)",
			),
			start: lib.func("int uc_emu_start(void *uc, uint64_t begin, uint64_t until, uint64_t timeout, size_t count)"),
			stop: lib.func("int uc_emu_stop(void *uc)"),
		};
		this.#calls = calls;
		const major = [0];
		const minor = [0];
		calls.version(major, minor);
		this.description = `${LIBRARY} ${major[0]}.${minor[0]} through koffi`;
		const out: unknown[] = [null];
		this.#check("uc_open", calls.open(UC_ARCH_X86, UC_MODE_64, out));
		this.#uc = out[0];
	}

	#check(what: string, error: number): void {
		if (error !== 0) throw new KlpemuError("CPU_UNICORN", `${what}: ${this.#calls.strerror(error)}`);
	}

	#pointersTo(words: BigUint64Array): BigUint64Array {
		if (this.#words !== words) {
			const first = this.#koffi.address(words);
			this.#pointers = BigUint64Array.from(words, (_, index) => first + BigInt(8 * index));
			this.#words = words;
		}
		return this.#pointers;
	}

	regWrite(ids: Int32Array, words: BigUint64Array): void {
		this.#check("uc_reg_write_batch", this.#calls.regWrite(this.#uc, ids, this.#pointersTo(words), ids.length));
	}

	regRead(ids: Int32Array, words: BigUint64Array): void {
		this.#check("uc_reg_read_batch", this.#calls.regRead(this.#uc, ids, this.#pointersTo(words), ids.length));
	}

	map(address: bigint, bytes: Uint8Array, perm: number): void {
		this.#mapped.push(bytes);
		this.#check("uc_mem_map_ptr", this.#calls.map(this.#uc, address, bytes.length, perm, bytes));
	}

	unmap(address: bigint, length: number): void {
		this.#check("uc_mem_unmap", this.#calls.unmap(this.#uc, address, length));
	}

	protect(address: bigint, length: number, perm: number): void {
		this.#check("uc_mem_protect", this.#calls.protect(this.#uc, address, length, perm));
	}

	removeCache(address: bigint, end: bigint): void {
		this.#check("uc_ctl", this.#calls.ctl(this.#uc, REMOVE_CACHE, "uint64_t", address, "uint64_t", end));
	}

	#hook(type: number, callback: bigint, begin: bigint, end: bigint): void {
		this.#callbacks.push(callback);
		this.#check("uc_hook_add", this.#calls.hook(this.#uc, [0], type, callback, null, begin, end));
	}

	hookCode(call: (address: bigint, size: number) => void, begin: bigint, end: bigint): void {
		const type = this.#koffi.proto("void", ["void *", "uint64_t", "uint32_t", "void *"]);
		const callback = this.#koffi.register(
			(_uc: unknown, address: bigint | number, size: number) => call(BigInt.asUintN(64, BigInt(address)), size),
			this.#koffi.pointer(type),
		);
		this.#hook(HOOK.CODE, callback, begin, end);
	}

	hookInterrupt(call: (number: number) => void): void {
		const type = this.#koffi.proto("void", ["void *", "uint32_t", "void *"]);
		const callback = this.#koffi.register((_uc: unknown, number: number) => call(number), this.#koffi.pointer(type));
		this.#hook(HOOK.INTR, callback, 1n, 0n);
	}

	hookMemoryInvalid(call: (type: number, address: bigint) => void): void {
		const type = this.#koffi.proto("bool", ["void *", "int", "uint64_t", "int", "int64_t", "void *"]);
		const callback = this.#koffi.register((_uc: unknown, kind: number, address: bigint | number) => {
			call(kind, BigInt.asUintN(64, BigInt(address)));
			return false;
		}, this.#koffi.pointer(type));
		this.#hook(HOOK.MEM_INVALID, callback, 1n, 0n);
	}

	start(address: bigint): number {
		// `until` is never reached: no instruction starts at the last byte of memory.
		return this.#calls.start(this.#uc, address, 0xffff_ffff_ffff_ffffn, 0n, 0);
	}

	stop(): void {
		this.#calls.stop(this.#uc);
	}

	sync<T>(action: () => T): T {
		return action();
	}

	close(): void {
		this.#calls.close(this.#uc);
		for (const callback of this.#callbacks) this.#koffi.unregister(callback);
		this.#mapped.length = 0;
	}
}
