import { declareState } from "../../base/index.js";
import { staticCallCode } from "../../elf/index.js";
import type { Kaddr } from "../../memory/index.js";
import type { Symbols, TextPoke } from "../ftrace/index.js";
import { GuestFault, type GuestMemory, type HostFunctions } from "../guest/index.js";
import { type Kallsyms, type Kernel, mutex } from "../lib/index.js";

/** ud1 %esp, %ecx: what stands behind the jump of each trampoline (ARCH_DEFINE_STATIC_CALL_TRAMP). */
const TRAMP_UD = [0x0f, 0xb9, 0xcc];
const JMP_SIZE = 5;

/** kernel/static_call_inline.c: static calls whose function guest code changes. Their sites are those of all images. */
export class StaticCalls {
	static readonly state = declareState("StaticCalls", { fields: ["static_call_mutex"] });

	readonly #memory: GuestMemory;
	readonly #kallsyms: Kallsyms;
	readonly #symbols: Symbols;
	readonly #text_poke: TextPoke;
	private readonly static_call_mutex = new mutex("static_call_mutex");

	constructor(memory: GuestMemory, kallsyms: Kallsyms, symbols: Symbols, text_poke: TextPoke) {
		this.#memory = memory;
		this.#kallsyms = kallsyms;
		this.#symbols = symbols;
		this.#text_poke = text_poke;
	}

	/** The trampoline first, then all sites: a call goes to the old function or to the new one. */
	*#static_call_update(key: Kaddr, tramp: Kaddr, func: Kaddr): Kernel<void> {
		yield* this.static_call_mutex.lock();
		if (this.#memory.kaddr(key) !== func) {
			this.#memory.setKaddr(key, func);
			if (tramp !== 0) yield* this.#transform(tramp, true, func, true);
			for (const { staticCallSites } of this.#kallsyms.images) {
				for (const site of staticCallSites) {
					if (site.key === key) yield* this.#transform(site.addr, site.tail, func, false);
				}
			}
		}
		this.static_call_mutex.unlock();
	}

	/** arch_static_call_transform() for one place. */
	*#transform(addr: Kaddr, tail: boolean, func: Kaddr, tramp: boolean): Kernel<void> {
		const return0 = this.#symbols.resolve("__static_call_return0");
		const code = staticCallCode(this.#memory, { addr, tail }, func, return0);
		const signed = !tramp || TRAMP_UD.every((byte, i) => this.#memory.u8((addr + JMP_SIZE + i) | 0) === byte);
		// __static_call_validate() says so, and has a BUG().
		if (code === undefined || !signed) {
			const what = signed ? "unexpected static_call insn" : "trampoline signature fail";
			throw new GuestFault({ kind: "invalid-opcode", detail: what }, what);
		}
		// A task that comes upon the change calls the function, also where its result is put there in place of the call.
		const call = staticCallCode(this.#memory, { addr, tail }, func);
		yield* this.#text_poke.text_poke_bp(addr, code, call);
	}

	functions(): HostFunctions {
		const update = (key: Kaddr, tramp: Kaddr, func: Kaddr) => this.#static_call_update(key, tramp, func);
		return {
			plain: { __static_call_return0: () => 0 },
			sleeping: {
				*__static_call_update(args): Kernel<undefined> {
					yield* update(args.pointer(0), args.pointer(1), args.pointer(2));
					return undefined;
				},
			},
		};
	}
}
