import koffi from "koffi";

/**
 * A module with exactly the API of `@alexaltea/unicorn-js/x86` that its loader uses, on top of the system's libunicorn: guest
 * memory of its own, errors as thrown text. The real package is not always installed; the loader is tested all the same.
 */
export async function fakeUnicornJs(): Promise<unknown> {
	return { Unicorn: FakeUnicorn };
}

const lib = koffi.load("libunicorn.so.2");
const open = lib.func("int uc_open(int arch, int mode, _Out_ void **uc)");
const close = lib.func("int uc_close(void *uc)");
const strerror = lib.func("const char *uc_strerror(int code)");
const regWrite = lib.func("int uc_reg_write(void *uc, int id, uint64_t *value)");
const regRead = lib.func("int uc_reg_read(void *uc, int id, _Out_ uint64_t *value)");
const memMap = lib.func("int uc_mem_map(void *uc, uint64_t address, size_t size, uint32_t perms)");
const memUnmap = lib.func("int uc_mem_unmap(void *uc, uint64_t address, size_t size)");
const memProtect = lib.func("int uc_mem_protect(void *uc, uint64_t address, size_t size, uint32_t perms)");
const memRead = lib.func("int uc_mem_read(void *uc, uint64_t address, void *bytes, size_t size)");
const memWrite = lib.func("int uc_mem_write(void *uc, uint64_t address, void *bytes, size_t size)");
const hookAdd = lib.func(
	"int uc_hook_add(void *uc, _Out_ size_t *hh, int type, void *callback, void *user, uint64_t begin, uint64_t end)",
);
const hookDel = lib.func("int uc_hook_del(void *uc, size_t hh)");
const emuStart = lib.func("int uc_emu_start(void *uc, uint64_t begin, uint64_t until, uint64_t timeout, size_t count)");
const emuStop = lib.func("int uc_emu_stop(void *uc)");
const contextAlloc = lib.func("int uc_context_alloc(void *uc, _Out_ void **context)");
const contextSave = lib.func("int uc_context_save(void *uc, void *context)");
const contextRestore = lib.func("int uc_context_restore(void *uc, void *context)");
const version = lib.func("unsigned int uc_version(_Out_ unsigned int *major, _Out_ unsigned int *minor)");
const ctl = lib.func("int uc_ctl(void *uc, int control, ...)");

const CODE_HOOK = koffi.pointer(koffi.proto("void", ["void *", "uint64_t", "uint32_t", "void *"]));
const INTERRUPT_HOOK = koffi.pointer(koffi.proto("void", ["void *", "uint32_t", "void *"]));
const MEMORY_HOOK = koffi.pointer(koffi.proto("bool", ["void *", "int", "uint64_t", "int", "int64_t", "void *"]));

type Callback = (...values: unknown[]) => unknown;

class FakeUnicorn {
	readonly #uc: unknown;

	constructor(arch: number, mode: number) {
		const out: unknown[] = [null];
		this.#check("uc_open", open(arch, mode, out));
		this.#uc = out[0];
	}

	#check(what: string, code: number): void {
		if (code !== 0) throw `Unicorn.js: Function ${what} failed with code ${code}:\n${strerror(code)}`;
	}

	reg_read_i64(id: number): bigint {
		const out: (bigint | number)[] = [0n];
		this.#check("uc_reg_read", regRead(this.#uc, id, out));
		return BigInt.asIntN(64, BigInt(out[0]!));
	}
	reg_write_i64(id: number, value: bigint): void {
		this.#check("uc_reg_write", regWrite(this.#uc, id, [BigInt.asUintN(64, value)]));
	}
	mem_map(address: bigint, size: number, perms: number): void {
		this.#check("uc_mem_map", memMap(this.#uc, address, size, perms));
	}
	mem_unmap(address: bigint, size: number): void {
		this.#check("uc_mem_unmap", memUnmap(this.#uc, address, size));
	}
	mem_protect(address: bigint, size: number, perms: number): void {
		this.#check("uc_mem_protect", memProtect(this.#uc, address, size, perms));
	}
	mem_read(address: bigint, size: number): Uint8Array {
		const bytes = new Uint8Array(size);
		this.#check("uc_mem_read", memRead(this.#uc, address, bytes, size));
		return bytes;
	}
	mem_write(address: bigint, bytes: Uint8Array): void {
		this.#check("uc_mem_write", memWrite(this.#uc, address, Uint8Array.from(bytes), bytes.length));
	}
	hook_add(type: number, call: Callback, userData: unknown, begin: bigint, end: bigint): unknown {
		const [signature, wrapped] = this.#callback(type, call, userData);
		const handle: unknown[] = [0];
		this.#check("uc_hook_add", hookAdd(this.#uc, handle, type, koffi.register(wrapped, signature), null, begin, end));
		return { handle: handle[0] };
	}
	#callback(type: number, call: Callback, userData: unknown): [typeof CODE_HOOK, Callback] {
		if (type === 4) {
			return [CODE_HOOK, (_uc, address, size) => call(this, BigInt(address as bigint), size, userData)];
		}
		if (type === 1) return [INTERRUPT_HOOK, (_uc, number) => call(this, number, userData)];
		return [
			MEMORY_HOOK,
			(_uc, kind, address, size, value) => call(this, kind, BigInt(address as bigint), size, value, userData),
		];
	}
	hook_del(hook: { handle: unknown }): void {
		this.#check("uc_hook_del", hookDel(this.#uc, hook.handle));
	}
	emu_start(begin: bigint, until: bigint, timeout: number, count: number): void {
		this.#check("uc_emu_start", emuStart(this.#uc, begin, until, timeout, count));
	}
	emu_stop(): void {
		this.#check("uc_emu_stop", emuStop(this.#uc));
	}
	context_alloc(): unknown {
		const out: unknown[] = [null];
		this.#check("uc_context_alloc", contextAlloc(this.#uc, out));
		return out[0];
	}
	context_save(context: unknown): void {
		this.#check("uc_context_save", contextSave(this.#uc, context));
	}
	context_restore(context: unknown): void {
		this.#check("uc_context_restore", contextRestore(this.#uc, context));
	}
	ctl_tlb_mode(mode: number): void {
		// 2.0 has no such control, and no need of it.
		if (version([0], [0]) >>> 16 >= 0x201) this.#check("uc_ctl", ctl(this.#uc, 0x4400000c, "int", mode));
	}
	ctl_remove_cache(begin: bigint, end: bigint): void {
		this.#check("uc_ctl", ctl(this.#uc, 0x48000009, "uint64_t", begin, "uint64_t", end));
	}
	close(): void {
		this.#check("uc_close", close(this.#uc));
	}
}
