import { declareState } from "../../base/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { GuestArguments, GuestCalls, GuestMemory, Heap, HostFunctions } from "../guest/index.js";
import { type Dmesg, EACCES, ENOENT, type Kernel, S_IFDIR } from "../lib/index.js";
import type { GuestOutput } from "./output.js";

/** struct seq_file of 6.12 (include/linux/seq_file.h): of its fields, modules read `private`. */
const SEQ_FILE = { private: 112, size: 120 } as const;
/** struct proc_dir_entry is for fs/proc only: modules have its address. */
const ENTRY_BYTES = 192;
const ROOT: Kaddr = 0;

interface Entry {
	readonly name: string;
	/** ROOT: /proc. */
	readonly parent: Kaddr;
	readonly mode: number;
	/** Undefined: a directory. */
	readonly show: Kaddr | undefined;
	readonly data: Kaddr;
}

/** Files and directories that modules make in /proc: those that a function shows as a whole (fs/proc/generic.c). */
export class ProcEntries {
	static readonly state = declareState("ProcEntries", { fields: ["entries"] });

	readonly #memory: GuestMemory;
	readonly #heap: Heap;
	readonly #calls: GuestCalls;
	readonly #output: GuestOutput;
	readonly #dmesg: Dmesg;
	/** By the address of the struct proc_dir_entry. */
	private readonly entries = new Map<Kaddr, Entry>();

	constructor(memory: GuestMemory, heap: Heap, calls: GuestCalls, output: GuestOutput, dmesg: Dmesg) {
		this.#memory = memory;
		this.#heap = heap;
		this.#calls = calls;
		this.#output = output;
		this.#dmesg = dmesg;
	}

	#child(parent: Kaddr, name: string): Kaddr | undefined {
		for (const [address, entry] of this.entries) {
			if (entry.parent === parent && entry.name === name) return address;
		}
		return undefined;
	}

	/** xlate_proc_name(): a name may lead through directories. Undefined: one of them is not there. */
	#translate(path: string, parent: Kaddr): { readonly parent: Kaddr; readonly name: string } | undefined {
		const names = path.split("/");
		const name = names.pop()!;
		let at: Kaddr | undefined = parent;
		for (const directory of names) {
			at = at === undefined ? undefined : this.#child(at, directory);
			if (at === undefined || this.entries.get(at)?.show !== undefined) {
				this.#dmesg.WARN_ON(true, `__xlate_proc_name() name '${path}'`);
				return undefined;
			}
		}
		return { parent: at!, name };
	}

	/** __proc_create() and proc_register(): the entry, or NULL. */
	#create(path: string, above: Kaddr, what: Pick<Entry, "mode" | "show" | "data">): Kaddr {
		const place = this.#translate(path, above);
		if (place === undefined) return 0;
		const { name, parent } = place;
		if (name === "" || name === "." || name === ".." || name.length > 255) {
			this.#dmesg.WARN_ON(true, name === "" ? "__proc_create() name len 0" : `__proc_create() name '${name}'`);
			return 0;
		}
		if (this.#child(parent, name) !== undefined) {
			const folder = parent === ROOT ? "/proc" : (this.entries.get(parent)?.name ?? "");
			this.#dmesg.WARN_ON(true, `proc_register() proc_dir_entry '${folder}/${name}' already registered`);
			return 0;
		}
		const address = this.#heap.kmalloc(ENTRY_BYTES, true);
		if (address !== 0) this.entries.set(address, { name, parent, ...what });
		return address;
	}

	#createSingle(args: GuestArguments): Kaddr {
		// S_IRUGO, if no permission is given.
		const mode = args.u32(1) & 0o777 || 0o444;
		return this.#create(args.string(0), args.pointer(2), { mode, show: args.pointer(3), data: args.pointer(4) });
	}

	#mkdir(args: GuestArguments): Kaddr {
		return this.#create(args.string(0), args.pointer(1), { mode: S_IFDIR | 0o555, show: undefined, data: 0 });
	}

	/** remove_proc_entry() */
	#removeByName(args: GuestArguments): void {
		const path = args.string(0);
		const place = this.#translate(path, args.pointer(1));
		const entry = place && this.#child(place.parent, place.name);
		if (entry !== undefined) this.#remove(entry);
		else if (place !== undefined) this.#dmesg.WARN_ON(true, `remove_proc_entry() name '${place.name}'`);
	}

	/** proc_remove(): with all that is below it. Nothing for NULL, and for what is removed already. */
	#remove(address: Kaddr): void {
		if (!this.entries.delete(address)) return;
		for (const [child, { parent }] of [...this.entries]) if (parent === address) this.#remove(child);
		this.#heap.kfree(address);
	}

	functions(): HostFunctions {
		return {
			plain: {
				proc_create_single_data: (args) => BigInt(this.#createSingle(args)),
				proc_mkdir: (args) => BigInt(this.#mkdir(args)),
				proc_remove: (args) => {
					this.#remove(args.pointer(0));
					return undefined;
				},
				remove_proc_entry: (args) => {
					this.#removeByName(args);
					return undefined;
				},
			},
			sleeping: {},
		};
	}

	/** Undefined: a directory above it is gone. */
	#pathOf({ name, parent }: Entry): string | undefined {
		if (parent === ROOT) return `/proc/${name}`;
		const above = this.entries.get(parent);
		const folder = above && this.#pathOf(above);
		return folder === undefined ? undefined : `${folder}/${name}`;
	}

	#find(path: string): Entry | undefined {
		return [...this.entries.values()].find((entry) => this.#pathOf(entry) === path);
	}

	paths(): string[] {
		return [...this.entries.values()].flatMap((entry) => this.#pathOf(entry) ?? []);
	}

	mode(path: string): number | undefined {
		return this.#find(path)?.mode;
	}

	/** single_open() and seq_read(): the text that the show() writes, or a negative errno. */
	*read(path: string): Kernel<string | number> {
		const entry = this.#find(path);
		if (entry?.show === undefined) return -ENOENT;
		const m = this.#heap.kmalloc(SEQ_FILE.size, true);
		this.#memory.setU64((m + SEQ_FILE.private) | 0, entry.data === 0 ? 0n : toU64(entry.data));
		const ret = Number(BigInt.asIntN(32, yield* this.#calls.call(entry.show, toU64(m), 0n)));
		const text = this.#output.takeFile(m);
		this.#heap.kfree(m);
		return ret < 0 ? ret : text;
	}

	/** They have no proc_write(). */
	// biome-ignore lint/correctness/useYield: kernel code in one step
	*write(path: string, _value: string): Kernel<number> {
		return this.#find(path) === undefined ? -ENOENT : -EACCES;
	}
}
