import { KlpemuError } from "../../errors.js";
import { HOOK, UC_ARCH_X86, UC_MODE_64, type UnicornEngine } from "./engine.js";

/** As much of `@alexaltea/unicorn-js/x86` as we use: a WebAssembly build of Unicorn 2.1. */
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
	emu_start(begin: bigint, until: bigint, timeout: number, count: number): void;
	emu_stop(): void;
	ctl_remove_cache?(begin: bigint, end: bigint): void;
	close(): void;
}

export type UnicornJsFactory = () => Promise<UnicornJs>;

/** `@alexaltea/unicorn-js`, when it is installed; undefined otherwise. */
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
	readonly #mapped: MappedPages[] = [];

	constructor(js: UnicornJs) {
		this.#uc = new js.Unicorn(UC_ARCH_X86, UC_MODE_64);
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

	hookCode(call: (address: bigint, size: number) => void, begin: bigint, end: bigint): void {
		const hook = (_uc: unknown, address: bigint | number, size: number) =>
			call(BigInt.asUintN(64, BigInt(address)), size);
		this.#uc.hook_add(HOOK.CODE, hook as never, {}, begin, end, 0);
	}

	hookInterrupt(call: (number: number) => void): void {
		this.#uc.hook_add(HOOK.INTR, ((_uc: unknown, number: number) => call(number)) as never, {}, 1n, 0n, 0);
	}

	hookMemoryInvalid(call: (type: number, address: bigint) => void): void {
		const hook = (_uc: unknown, type: number, address: bigint | number) => {
			call(type, BigInt.asUintN(64, BigInt(address)));
			return false;
		};
		this.#uc.hook_add(HOOK.MEM_INVALID, hook as never, {}, 1n, 0n, 0);
	}

	/** Lets the host look at and change guest memory in the middle of a run. */
	sync<T>(action: () => T): T {
		this.#copyOut();
		try {
			return action();
		} finally {
			this.#copyIn();
		}
	}

	start(address: bigint): number {
		this.#copyIn();
		try {
			this.#uc.emu_start(address, 0xffff_ffff_ffff_ffffn, 0, 0);
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
