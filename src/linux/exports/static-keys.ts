import { declareState } from "../../base/index.js";
import { jumpLabelCode } from "../../elf/index.js";
import type { Kaddr } from "../../memory/index.js";
import type { TextPoke } from "../ftrace/index.js";
import type { GuestArguments, GuestMemory, HostFunctions } from "../guest/index.js";
import { type Kallsyms, type Kernel, mutex } from "../lib/index.js";

/** kernel/jump_label.c: static keys that guest code switches. Their sites are those of `__jump_table` in all images. */
export class StaticKeys {
	static readonly state = declareState("StaticKeys", { fields: ["jump_label_mutex"] });

	readonly #memory: GuestMemory;
	readonly #kallsyms: Kallsyms;
	readonly #text_poke: TextPoke;
	private readonly jump_label_mutex = new mutex("jump_label_mutex");

	constructor(memory: GuestMemory, kallsyms: Kallsyms, text_poke: TextPoke) {
		this.#memory = memory;
		this.#kallsyms = kallsyms;
		this.#text_poke = text_poke;
	}

	/** Sets the counter `enabled`; the sites follow when it becomes or leaves 0. */
	*#set(key: Kaddr, next: (count: number) => number): Kernel<number> {
		yield* this.jump_label_mutex.lock();
		const before = this.#memory.u32(key) | 0;
		const after = next(before);
		this.#memory.setU32(key, after >>> 0);
		if (before > 0 !== after > 0) yield* this.#jump_label_update(key, after > 0);
		this.jump_label_mutex.unlock();
		return after;
	}

	*#jump_label_update(key: Kaddr, enabled: boolean): Kernel<void> {
		for (const { jumpEntries } of this.#kallsyms.images) {
			for (const entry of jumpEntries) {
				if (entry.key === key) yield* this.#text_poke.text_poke_queue(entry.code, jumpLabelCode(entry, enabled));
			}
		}
		yield* this.#text_poke.text_poke_finish();
	}

	functions(): HostFunctions {
		const change = (next: (count: number) => number) => {
			const set = (key: Kaddr) => this.#set(key, next);
			return function* (args: GuestArguments): Kernel<undefined> {
				yield* set(args.pointer(0));
				return undefined;
			};
		};
		const [enable, disable] = [change(() => 1), change(() => 0)];
		const [increase, decrease] = [change((count) => count + 1), change((count) => Math.max(count - 1, 0))];
		const set = (key: Kaddr) => this.#set(key, (count) => count + 1);
		return {
			plain: { static_key_count: (args) => this.#memory.u32(args.pointer(0)) },
			sleeping: {
				static_key_enable: enable,
				static_key_enable_cpuslocked: enable,
				static_key_disable: disable,
				static_key_disable_cpuslocked: disable,
				*static_key_slow_inc(args): Kernel<number> {
					yield* set(args.pointer(0));
					return 1;
				},
				static_key_slow_dec: decrease,
				static_key_slow_inc_cpuslocked: increase,
				static_key_slow_dec_cpuslocked: decrease,
			},
		};
	}
}
