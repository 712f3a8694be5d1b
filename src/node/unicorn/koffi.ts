import { KlpemuError } from "../../base/index.js";
import {
	COUNTER,
	COUNTER_WORDS,
	countingHook,
	type EngineHook,
	HOOK,
	NO_ADDRESS,
	UC_ARCH_X86,
	UC_MODE_64,
	type UnicornEngine,
} from "../../cpu/unicorn/index.js";
import { type Shadow, toU64 } from "../../memory/index.js";
import { SHADOW_WORDS, THUNK, thunkCode } from "./thunk.js";

/** uc_ctl(UC_CTL_TB_REMOVE_CACHE, write, two arguments). */
const REMOVE_CACHE = 0x48000009;
/** uc_ctl(UC_CTL_TLB_TYPE, write, one argument), and UC_TLB_VIRTUAL. */
const TLB_TYPE = 0x4400000c;
const TLB_VIRTUAL = 1;
const LIBRARY = "libunicorn.so.2";

/** One page, see mmap(2) for the constants; the last is Linux's. */
const THUNK_BYTES = 4096;
const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4] as const;
const MAP_PRIVATE_ANONYMOUS = process.platform === "darwin" ? 0x1002 : 0x22;

type Koffi = typeof import("koffi");

function loadKoffi(module: unknown): Koffi {
	return ((module as { default?: Koffi }).default ?? module) as Koffi;
}

/** The system's libunicorn 2 through koffi; undefined if koffi or the library is not installed. */
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
	/** The initial state of the processor. */
	readonly #reset: unknown;
	readonly #calls;
	readonly #callbacks: bigint[] = [];
	/** By function: one that is hooked again keeps its callback. */
	readonly #codeCallbacks = new Map<(address: bigint) => void, bigint>();
	/** Mapped views: the engine has pointers into their buffers, so they must stay reachable. */
	readonly #mapped: Uint8Array[] = [];
	/** Arrays that the engine has pointers to: the reference keeps them from being collected. */
	readonly #pinned: BigUint64Array[] = [];
	readonly #stopSymbol: unknown;
	#release: (() => void) | undefined;
	/** Native code of {@link thunkCode}, in memory of its own; undefined where there is none. */
	readonly #thunks: bigint | undefined;
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
			contextAlloc: lib.func("int uc_context_alloc(void *uc, _Out_ void **context)"),
			contextSave: lib.func("int uc_context_save(void *uc, void *context)"),
			contextRestore: lib.func("int uc_context_restore(void *uc, void *context)"),
			contextFree: lib.func("int uc_context_free(void *context)"),
			unhook: lib.func("int uc_hook_del(void *uc, size_t hh)"),
			start: lib.func("int uc_emu_start(void *uc, uint64_t begin, uint64_t until, uint64_t timeout, size_t count)"),
			stop: lib.func("int uc_emu_stop(void *uc)"),
		};
		this.#calls = calls;
		this.#stopSymbol = lib.symbol("uc_emu_stop");
		const major = [0];
		const minor = [0];
		calls.version(major, minor);
		this.description = `${LIBRARY} ${major[0]}.${minor[0]} through koffi`;
		const out: unknown[] = [null];
		this.#check("uc_open", calls.open(UC_ARCH_X86, UC_MODE_64, out));
		this.#uc = out[0];
		// The page walk of 2.1 fails at kernel addresses; 2.0 has neither that walk nor this control.
		if (minor[0]! >= 1) this.#check("uc_ctl", calls.ctl(this.#uc, TLB_TYPE, "int", TLB_VIRTUAL));
		const context: unknown[] = [null];
		this.#check("uc_context_alloc", calls.contextAlloc(this.#uc, context));
		this.#reset = context[0];
		this.#check("uc_context_save", calls.contextSave(this.#uc, this.#reset));
		this.#thunks = this.#makeThunks();
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

	#hook(type: number, callback: bigint, begin: bigint, end: bigint, user: unknown = null): EngineHook {
		const handle: unknown[] = [0];
		this.#check("uc_hook_add", this.#calls.hook(this.#uc, handle, type, callback, user, begin, end));
		// Code that was translated without the hook does not call it.
		if (type === HOOK.CODE && begin <= end) this.removeCache(begin, end + 1n);
		return {
			remove: () => {
				this.#check("uc_hook_del", this.#calls.unhook(this.#uc, handle[0]));
				if (type === HOOK.CODE && begin <= end) this.removeCache(begin, end + 1n);
				// The engine frees a hook at its next start, so the callback must live until then.
			},
		};
	}

	#callback(result: string, parameters: string[], call: (...values: never[]) => unknown): bigint {
		const callback = this.#koffi.register(call, this.#koffi.pointer(this.#koffi.proto(result, parameters)));
		this.#callbacks.push(callback);
		return callback;
	}

	#codeCallback(call: (address: bigint) => void): bigint {
		const known = this.#codeCallbacks.get(call);
		if (known !== undefined) return known;
		const callback = this.#callback(
			"void",
			["void *", "uint64_t", "uint32_t", "void *"],
			(_uc: unknown, address: bigint | number) => call(unsigned(address)),
		);
		this.#codeCallbacks.set(call, callback);
		return callback;
	}

	hookCounter(): BigUint64Array {
		const words = new BigUint64Array(COUNTER_WORDS);
		words.fill(NO_ADDRESS, COUNTER.current);
		this.#pinned.push(words);
		const thunks = this.#thunks;
		if (thunks === undefined) {
			this.hookCode(
				countingHook(words, () => this.stop()),
				1n,
				0n,
			);
			return words;
		}
		words[COUNTER.stopFunction] = this.#koffi.address(this.#stopSymbol);
		this.#hook(HOOK.CODE, thunks + BigInt(THUNK.counter), 1n, 0n, words);
		return words;
	}

	/** Native code of the host in memory of its own; undefined where the host is another machine or does not allow it. */
	#makeThunks(): bigint | undefined {
		const code = thunkCode();
		if (code === undefined) return undefined;
		const libc = this.#koffi.load(null);
		const mmap = libc.func("intptr_t mmap(void *address, size_t length, int prot, int flags, int fd, int64_t offset)");
		const mprotect = libc.func("int mprotect(intptr_t address, size_t length, int prot)");
		const at = BigInt(mmap(null, THUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0) as number | bigint);
		if (at === -1n) return undefined;
		new Uint8Array(this.#koffi.view(at, THUNK_BYTES)).set(code);
		const release = libc.func("int munmap(intptr_t address, size_t length)");
		if (mprotect(at, THUNK_BYTES, PROT_READ | PROT_EXEC) !== 0) {
			release(at, THUNK_BYTES);
			return undefined;
		}
		this.#release = () => release(at, THUNK_BYTES);
		return at;
	}

	hookCode(call: (address: bigint) => void, begin: bigint, end: bigint): EngineHook {
		return this.#hook(HOOK.CODE, this.#codeCallback(call), begin, end);
	}

	hookForbidden(call: (address: bigint, size: number) => void, { base, end, bits }: Shadow): void {
		const callback = this.#callback(
			"void",
			["void *", "int", "uint64_t", "int", "int64_t", "void *"],
			(_uc: unknown, _type: number, address: bigint | number, size: number) => call(unsigned(address), size),
		);
		const [first, last] = [toU64(base), toU64(end - 1)];
		const thunks = this.#thunks;
		if (thunks === undefined) {
			this.#hook(HOOK.MEM_ACCESS, callback, first, last);
			return;
		}
		const words = new BigUint64Array(Object.keys(SHADOW_WORDS).length);
		words[SHADOW_WORDS.bits] = this.#koffi.address(bits);
		words[SHADOW_WORDS.base] = first;
		words[SHADOW_WORDS.callback] = callback;
		this.#pinned.push(words);
		this.#mapped.push(bits);
		this.#hook(HOOK.MEM_ACCESS, thunks + BigInt(THUNK.forbidden), first, last, words);
	}

	hookInterrupt(call: (number: number) => void): EngineHook {
		const callback = this.#callback("void", ["void *", "uint32_t", "void *"], (_uc: unknown, number: number) =>
			call(number),
		);
		return this.#hook(HOOK.INTR, callback, 1n, 0n);
	}

	hookMemoryInvalid(call: (type: number, address: bigint) => void): EngineHook {
		const callback = this.#callback(
			"bool",
			["void *", "int", "uint64_t", "int", "int64_t", "void *"],
			(_uc: unknown, kind: number, address: bigint | number) => {
				call(kind, unsigned(address));
				return false;
			},
		);
		return this.#hook(HOOK.MEM_INVALID, callback, 1n, 0n);
	}

	start(address: bigint, until: bigint): number {
		return this.#calls.start(this.#uc, address, until, 0n, 0);
	}

	stop(): void {
		this.#calls.stop(this.#uc);
	}

	forgetException(): void {
		this.#check("uc_context_restore", this.#calls.contextRestore(this.#uc, this.#reset));
	}

	sync<T>(action: () => T): T {
		return action();
	}

	close(): void {
		this.#calls.contextFree(this.#reset);
		this.#calls.close(this.#uc);
		for (const callback of this.#callbacks) this.#koffi.unregister(callback);
		this.#release?.();
		this.#mapped.length = 0;
	}
}

/** koffi hands a uint64_t to a callback as a signed number. */
function unsigned(value: bigint | number): bigint {
	return BigInt.asUintN(64, BigInt(value));
}
