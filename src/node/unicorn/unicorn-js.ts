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

/** UC_TLB_VIRTUAL. */
const TLB_VIRTUAL = 1;

/** The used part of `@alexaltea/unicorn-js/x86`, a WebAssembly build of Unicorn 2.1. */
export interface UnicornJs {
	Unicorn: new (arch: number, mode: number) => UnicornJsInstance;
}

export interface UnicornJsInstance {
	reg_read_i64(id: number): bigint;
	reg_write_i64(id: number, value: bigint): void;
	mem_map(address: bigint, size: number, perms: number): void;
	mem_unmap(address: bigint, size: number): void;
	mem_protect(address: bigint, size: number, perms: number): void;
	mem_read(address: bigint, size: number): Uint8Array;
	mem_write(address: bigint, bytes: Uint8Array): void;
	hook_add(
		type: number,
		call: (uc: unknown, ...args: never[]) => unknown,
		userData: unknown,
		begin: bigint,
		end: bigint,
		extra?: number,
	): unknown;
	hook_del(hook: unknown): void;
	context_alloc(): unknown;
	context_save(context: unknown): void;
	context_restore(context: unknown): void;
	emu_start(begin: bigint, until: bigint, timeout: number, count: number): void;
	emu_stop(): void;
	/** Newer builds only. */
	ctl_tlb_mode?(mode: number): void;
	ctl_remove_cache?(begin: bigint, end: bigint): void;
	close(): void;
}

export type UnicornJsFactory = () => Promise<UnicornJs>;

/** `@alexaltea/unicorn-js`, if it is installed; undefined otherwise. */
export async function unicornJsEngine(
	load: () => Promise<unknown> = () => import("@alexaltea/unicorn-js/x86" as string),
): Promise<UnicornEngine | undefined> {
	let module: unknown;
	try {
		module = await load();
	} catch {
		return undefined;
	}
	const factory = ((module as { default?: unknown }).default ?? module) as UnicornJsFactory;
	const js = await factory();
	return new UnicornJsEngine(js);
}

interface MappedPages {
	readonly address: bigint;
	readonly bytes: Uint8Array;
	perm: number;
}

/**
 * The wrapper has no mem_map_ptr, and its memory is not ours: pages are copied in before a run and those that can be
 * written are copied back when it stops. Slow, but the same to the last byte. A call-back sees the guest's memory too, so
 * that it is copied both ways round each.
 */
class UnicornJsEngine implements UnicornEngine {
	readonly description = "@alexaltea/unicorn-js";
	readonly #uc: UnicornJsInstance;
	/** The initial state of the processor. */
	readonly #reset: unknown;
	readonly #mapped: MappedPages[] = [];

	constructor(js: UnicornJs) {
		this.#uc = new js.Unicorn(UC_ARCH_X86, UC_MODE_64);
		// The page walk of 2.1 fails at kernel addresses; without it addresses are not translated.
		this.#try("ctl_tlb_mode", () => this.#uc.ctl_tlb_mode?.(TLB_VIRTUAL));
		this.#reset = this.#try("context_save", () => {
			const context = this.#uc.context_alloc();
			this.#uc.context_save(context);
			return context;
		});
	}

	#try<T>(what: string, action: () => T): T {
		try {
			return action();
		} catch (cause) {
			throw new KlpemuError("CPU_UNICORN", `${what}: ${String(cause)}`, { cause });
		}
	}

	regWrite(ids: Int32Array, words: BigUint64Array): void {
		this.#try("reg_write_i64", () => {
			ids.forEach((id, index) => {
				this.#uc.reg_write_i64(id, words[index]!);
			});
		});
	}

	regRead(ids: Int32Array, words: BigUint64Array): void {
		this.#try("reg_read_i64", () => {
			ids.forEach((id, index) => {
				words[index] = BigInt.asUintN(64, BigInt(this.#uc.reg_read_i64(id)));
			});
		});
	}

	map(address: bigint, bytes: Uint8Array, perm: number): void {
		this.#try("mem_map", () => this.#uc.mem_map(address, bytes.length, perm));
		this.#mapped.push({ address, bytes, perm });
	}

	unmap(address: bigint, length: number): void {
		this.#try("mem_unmap", () => this.#uc.mem_unmap(address, length));
		this.#mapped.splice(
			this.#mapped.findIndex((pages) => pages.address === address),
			1,
		);
	}

	protect(address: bigint, length: number, perm: number): void {
		this.#try("mem_protect", () => this.#uc.mem_protect(address, length, perm));
		const pages = this.#mapped.find((candidate) => candidate.address === address);
		if (pages !== undefined) pages.perm = perm;
	}

	removeCache(address: bigint, end: bigint): void {
		this.#try("ctl_remove_cache", () => this.#uc.ctl_remove_cache?.(address, end));
	}

	#copyIn(): void {
		for (const { address, bytes } of this.#mapped) this.#uc.mem_write(address, bytes);
	}

	#copyOut(): void {
		for (const { address, bytes, perm } of this.#mapped) {
			if (perm & 2) bytes.set(this.#uc.mem_read(address, bytes.length));
		}
	}

	#hook(type: number, hook: (uc: unknown, ...args: never[]) => unknown, begin: bigint, end: bigint): EngineHook {
		const added = this.#try("hook_add", () => this.#uc.hook_add(type, hook, {}, begin, end, 0));
		// Code that was translated without the hook does not call it.
		if (type === HOOK.CODE && begin <= end) this.removeCache(begin, end + 1n);
		return { remove: () => this.#try("hook_del", () => this.#uc.hook_del(added)) };
	}

	hookCounter(): BigUint64Array {
		const words = new BigUint64Array(COUNTER_WORDS);
		words.fill(NO_ADDRESS, COUNTER.current);
		this.hookCode(
			countingHook(words, () => this.stop()),
			1n,
			0n,
		);
		return words;
	}

	hookCode(call: (address: bigint) => void, begin: bigint, end: bigint): EngineHook {
		const hook = (_uc: unknown, address: bigint | number) => call(BigInt.asUintN(64, BigInt(address)));
		return this.#hook(HOOK.CODE, hook as never, begin, end);
	}

	hookInterrupt(call: (number: number) => void): EngineHook {
		return this.#hook(HOOK.INTR, ((_uc: unknown, number: number) => call(number)) as never, 1n, 0n);
	}

	hookMemoryInvalid(call: (type: number, address: bigint) => void): EngineHook {
		const hook = (_uc: unknown, type: number, address: bigint | number) => {
			call(type, BigInt.asUintN(64, BigInt(address)));
			return false;
		};
		return this.#hook(HOOK.MEM_INVALID, hook as never, 1n, 0n);
	}

	hookForbidden(call: (address: bigint, size: number) => void, { base, end }: Shadow): void {
		const hook = (_uc: unknown, _type: number, address: bigint | number, size: number) =>
			call(BigInt.asUintN(64, BigInt(address)), size);
		this.#hook(HOOK.MEM_ACCESS, hook as never, toU64(base), toU64(end - 1));
	}

	forgetException(): void {
		this.#try("context_restore", () => this.#uc.context_restore(this.#reset));
	}

	/** Lets the host read and change guest memory in the middle of a run. */
	sync<T>(action: () => T): T {
		this.#copyOut();
		try {
			return action();
		} finally {
			this.#copyIn();
		}
	}

	start(address: bigint, until: bigint): number {
		this.#copyIn();
		try {
			this.#uc.emu_start(address, until, 0, 0);
			return 0;
		} catch (error) {
			return errorNumber(error);
		} finally {
			this.#copyOut();
		}
	}

	stop(): void {
		this.#uc.emu_stop();
	}

	close(): void {
		this.#uc.close();
		this.#mapped.length = 0;
	}
}

/** The wrapper throws text that ends in the error; its number is only needed to tell an invalid instruction. */
function errorNumber(error: unknown): number {
	const text = String(error);
	if (/invalid instruction|UC_ERR_INSN_INVALID/i.test(text)) return 10;
	const number = /\b(\d+)\b/.exec(text)?.[1];
	return number === undefined ? 21 : Number(number);
}
