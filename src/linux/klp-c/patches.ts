import type { Kaddr } from "../../memory/index.js";
import { toU64 } from "../../memory/index.js";
import type { Symbols } from "../ftrace/index.js";
import { GuestFault, GuestMemory } from "../guest/index.js";
import type { StackEntry } from "../klp/index.js";
import type { CoreImage } from "./core-image.js";
import { type RememberedReads, rememberReads } from "./remember.js";

/** More entries than this are a list that has no end. */
const ENDLESS = 100_000;

/** A klp_func in guest memory, as a func_stack has it. */
export interface GuestFunc extends StackEntry {
	readonly address: Kaddr;
	readonly old_func: Kaddr;
	readonly transition: boolean;
}

/** The struct ftrace_ops that the core has given to ftrace: each is in a klp_ops. */
export interface FtraceOps {
	all(): Iterable<Kaddr>;
	/** That of a function; 0: none. */
	find(func: Kaddr): Kaddr;
}

/** The core's patches, objects, functions and func_stacks, read from guest memory by their layout. Nothing is changed. */
export class Patches {
	readonly #core: CoreImage;
	readonly #memory: GuestMemory;
	readonly #symbols: Symbols;
	readonly #klp_patches: Kaddr;
	readonly #ops: FtraceOps;
	readonly #transitionPatch: Kaddr;
	readonly #targetState: Kaddr;

	readonly #invalid: (what: string) => void;
	/** How often #invalid was called. */
	readonly #faults: () => number;
	readonly #nameOf: (patch: Kaddr) => string;

	/** `invalid` is told of lists that lead into memory which is freed or is none. */
	constructor(core: CoreImage, symbols: Symbols, ops: FtraceOps, invalid: (what: string) => void) {
		let faults = 0;
		this.#faults = () => faults;
		this.#invalid = (what) => {
			faults++;
			invalid(what);
		};
		this.#core = core;
		this.#memory = new GuestMemory(core.memory);
		this.#symbols = symbols;
		this.#nameOf = this.#rememberName();
		this.#klp_patches = core.address("klp_patches");
		this.#ops = ops;
		this.#transitionPatch = core.address("klp_transition_patch");
		this.#targetState = core.address("klp_target_state");
	}

	/** For walks through patches and func_stacks. They also depend on {@link ops}. */
	remember(): RememberedReads {
		return rememberReads(this.#core.memory, this.#faults);
	}

	/** The struct ftrace_ops that ftrace knows. */
	ops(): Iterable<Kaddr> {
		return this.#ops.all();
	}

	/** A word of a struct of the core. */
	word(address: Kaddr): number {
		return this.#memory.u32(address);
	}

	/** Address of a field: `field(patch, "klp_patch.enabled")`. */
	field(struct: Kaddr, name: string): Kaddr {
		return (struct + this.#core.layout.offset(name)) | 0;
	}

	pointer(struct: Kaddr, name: string): Kaddr {
		return this.#memory.kaddr(this.field(struct, name));
	}

	bool(struct: Kaddr, name: string): boolean {
		return this.#memory.u8(this.field(struct, name)) !== 0;
	}

	/** The text that a field points to; undefined for NULL. */
	string(struct: Kaddr, name: string): string | undefined {
		const text = this.pointer(struct, name);
		return text === 0 ? undefined : this.#memory.string(toU64(text));
	}

	/** list_for_each_entry_rcu: the structs that contain the entries, in order. A list that is being initialised is empty. */
	list(head: Kaddr, node: string): Kaddr[] {
		const offset = this.#core.layout.offset(node);
		const structs: Kaddr[] = [];
		for (let at = this.#next(head, node); at !== head && at !== 0; at = this.#next(at, node)) {
			if (structs.length > ENDLESS) throw new Error(`the list of ${node} has no end`);
			structs.push((at - offset) | 0);
		}
		return structs;
	}

	/** list->next; 0, the end of the list, if there is none in memory. */
	#next(at: Kaddr, node: string): Kaddr {
		try {
			return this.#memory.kaddr(at);
		} catch (error) {
			if (!(error instanceof GuestFault)) throw error;
			this.#invalid(`the list of ${node} leads into memory that is freed`);
			return 0;
		}
	}

	/** klp_patches, oldest first. */
	patches(): Kaddr[] {
		return this.list(this.#klp_patches, "klp_patch.list");
	}

	/** The patch in transition; 0: none. */
	get klp_transition_patch(): Kaddr {
		return this.#memory.kaddr(this.#transitionPatch);
	}

	get klp_target_state(): number {
		return this.#memory.u32(this.#targetState) | 0;
	}

	/** mod->name */
	name(patch: Kaddr): string {
		return this.#nameOf(patch);
	}

	/** Asked for at each step, of the patch in transition. */
	#rememberName(): (patch: Kaddr) => string {
		const reads = this.remember();
		let name = "";
		return (patch) => {
			if (reads.same([patch])) return name;
			name = reads.read([patch], () => {
				const mod = this.pointer(patch, "klp_patch.mod");
				return this.#memory.string(toU64(this.field(mod, "module.name")));
			});
			return name;
		};
	}

	objects(patch: Kaddr): Kaddr[] {
		return this.list(this.field(patch, "klp_patch.obj_list"), "klp_object.node");
	}

	funcs(object: Kaddr): Kaddr[] {
		return this.list(this.field(object, "klp_object.func_list"), "klp_func.node");
	}

	/**
	 * The klp_ops of a function; 0: none. Found by the ops that are attached to the function, as calls of it find them. The core's own
	 * list of klp_ops is for holders of klp_mutex only: while an entry is added, the list may end at it.
	 */
	klp_find_ops(old_func: Kaddr): Kaddr {
		const fops = this.#ops.find(old_func);
		return fops === 0 ? 0 : this.#klpOpsOf(fops);
	}

	/** container_of(fops, struct klp_ops, fops) */
	#klpOpsOf(fops: Kaddr): Kaddr {
		return (fops - this.#core.layout.offset("klp_ops.fops")) | 0;
	}

	/** The klp_funcs on a func_stack, newest first. */
	stackOf(ops: Kaddr): Kaddr[] {
		return this.list(this.field(ops, "klp_ops.func_stack"), "klp_func.stack_node");
	}

	sympos(func: Kaddr): number {
		return Number(this.#memory.u64(this.field(func, "klp_func.old_sympos")));
	}

	/** A klp_func; undefined if it does not lie in memory any more. */
	func(address: Kaddr): GuestFunc | undefined {
		try {
			return this.#func(address);
		} catch (error) {
			if (error instanceof GuestFault) return undefined;
			throw error;
		}
	}

	#func(address: Kaddr): GuestFunc {
		const new_func = this.pointer(address, "klp_func.new_func");
		const old_name = this.string(address, "klp_func.old_name") ?? "";
		// A patched core may have no nops.
		const nop = this.#core.layout.has("klp_func.nop") && this.bool(address, "klp_func.nop");
		return {
			address,
			old_name,
			new_name: nop ? old_name : this.#symbols.sprint_symbol(new_func, true),
			old_func: this.pointer(address, "klp_func.old_func"),
			new_func,
			new_size: Number(this.#memory.u64(this.field(address, "klp_func.new_size"))),
			nop,
			transition: this.bool(address, "klp_func.transition"),
		};
	}

	/** func_stack of a function, newest entry first. */
	funcStack(old_func: Kaddr): GuestFunc[] {
		const ops = this.klp_find_ops(old_func);
		return ops === 0 ? [] : this.stackOf(ops).flatMap((address) => this.func(address) ?? []);
	}

	/** Every word of the core's lists on which calls and promises depend. */
	addWords(words: number[]): void {
		for (const fops of this.#ops.all()) {
			words.push(fops);
			const ops = this.#klpOpsOf(fops);
			for (const func of this.stackOf(ops)) words.push(func, this.#memory.u8(this.field(func, "klp_func.transition")));
		}
		for (const patch of this.patches()) {
			words.push(patch, this.#memory.u8(this.field(patch, "klp_patch.enabled")));
			for (const object of this.objects(patch)) {
				words.push(object, this.pointer(object, "klp_object.mod"), Number(this.bool(object, "klp_object.patched")));
			}
		}
	}
}
