import { declareState } from "../../../base/index.js";
import { type Kaddr, toU64 } from "../../../memory/index.js";
import type {
	GuestArguments,
	GuestCalls,
	GuestMemory,
	Heap,
	HostFunctions,
	Refcounts,
	Slab,
} from "../../guest/index.js";
import type { KernelLayout } from "../../lib/index.js";
import {
	type Dmesg,
	EEXIST,
	EINVAL,
	EIO,
	ENOENT,
	ENOMEM,
	type FaultInjection,
	KERN,
	type Kernel,
	S_IFDIR,
	wait,
} from "../../lib/index.js";

/** A show() may fill a page. */
const PAGE = 4096;
/** struct kref, then the bits of struct kobject. */
const STATE_INITIALIZED = 1;
const STATE_IN_SYSFS = 2;
const STATE_BITS = 4;
/** The longest list of attributes and groups. */
const MOST = 1000;

/** A kobject in sysfs. */
interface Node {
	readonly path: string;
	/** Readers and writers of its files, for which its removal waits (kernfs_drain). */
	active: number;
}

/** A file of a kobject. */
export interface Attribute {
	readonly kobj: Kaddr;
	readonly attr: Kaddr;
	readonly mode: number;
}

interface Parts {
	readonly memory: GuestMemory;
	readonly layout: KernelLayout;
	readonly heap: Heap;
	readonly slab: Slab;
	readonly refcounts: Refcounts;
	readonly dmesg: Dmesg;
	readonly faults: FaultInjection;
	readonly calls: GuestCalls;
	/** The text of a call whose format is argument `at`. */
	readonly format: (args: GuestArguments, at: number) => string;
}

/**
 * lib/kobject.c and fs/sysfs for the kobjects of the core: the structs are in guest memory, and so are reference counts, types and
 * attributes. Here is only the tree of names.
 */
export class CoreKobjects {
	static readonly state = declareState("CoreKobjects", { fields: ["nodes", "dynamic"] });

	readonly #parts: Parts;
	/** In the order in which they were added. Paths are relative to /sys/kernel. */
	private readonly nodes = new Map<Kaddr, Node>();
	/** Made by kobject_create_and_add(). */
	private readonly dynamic = new Set<Kaddr>();

	constructor(parts: Parts) {
		this.#parts = parts;
	}

	#at(struct: Kaddr, field: string): Kaddr {
		return (struct + this.#parts.layout.offset(field)) | 0;
	}

	#pointer(struct: Kaddr, field: string): Kaddr {
		return this.#parts.memory.kaddr(this.#at(struct, field));
	}

	#setBit(kobj: Kaddr, bit: number, set: boolean): void {
		const at = (this.#at(kobj, "kobject.kref") + STATE_BITS) | 0;
		const bits = this.#parts.memory.u8(at);
		this.#parts.memory.setU8(at, set ? bits | bit : bits & ~bit);
	}

	#init(kobj: Kaddr, ktype: Kaddr): void {
		const { memory } = this.#parts;
		const entry = this.#at(kobj, "kobject.entry");
		memory.setU32(this.#at(kobj, "kobject.kref"), 1);
		memory.setU64(entry, toU64(entry));
		memory.setU64((entry + 8) | 0, toU64(entry));
		memory.setU8((this.#at(kobj, "kobject.kref") + STATE_BITS) | 0, STATE_INITIALIZED);
		memory.setU64(this.#at(kobj, "kobject.ktype"), toU64(ktype));
	}

	#pathOf(parent: Kaddr, name: string): string {
		const above = this.nodes.get(parent)?.path ?? "";
		return above === "" ? name : `${above}/${name}`;
	}

	/** kobject_add_internal() */
	#add(kobj: Kaddr, parent: Kaddr, name: string): number {
		const { memory, slab, dmesg, faults, refcounts } = this.#parts;
		// As in the TypeScript core, the place is named without the position.
		if (faults.should_fail(`kobject_add(${name.replace(/,\d+$/, "")})`)) return -ENOMEM;
		if (name === "") {
			dmesg.print(KERN.WARNING, "kobject: (____ptrval____): attempted to be registered with empty name!");
			dmesg.WARN_ON(true, "kobject_add_internal: !kobj->name[0]");
			return -EINVAL;
		}
		const safe = name.replaceAll("/", "!");
		const text = new TextEncoder().encode(`${safe}\0`);
		const copy = slab.kmalloc("kobject_set_name", text.length, false);
		if (copy === 0) return -ENOMEM;
		memory.write(copy, text);
		memory.setU64(this.#at(kobj, "kobject.name"), toU64(copy));
		memory.setU64(this.#at(kobj, "kobject.parent"), parent === 0 ? 0n : toU64(parent));
		const path = this.#pathOf(parent, safe);
		if ([...this.nodes.values()].some((node) => node.path === path)) {
			memory.setU64(this.#at(kobj, "kobject.parent"), 0n);
			dmesg.print(KERN.WARNING, `sysfs: cannot create duplicate filename '/kernel/${path}'`);
			dmesg.print(
				KERN.ERR,
				`kobject: kobject_add_internal failed for ${safe} with -EEXIST, don't try to register things with the same name in the same directory.`,
			);
			return -EEXIST;
		}
		if (parent !== 0) refcounts.inc(this.#at(parent, "kobject.kref"));
		this.nodes.set(kobj, { path, active: 0 });
		this.#setBit(kobj, STATE_IN_SYSFS, true);
		return 0;
	}

	#create(name: string, parent: Kaddr): bigint {
		const { layout, slab, heap } = this.#parts;
		const kobj = slab.kmalloc("kobject_create", layout.size("struct kobject"), true);
		if (kobj === 0) return 0n;
		this.#init(kobj, 0);
		this.dynamic.add(kobj);
		if (this.#add(kobj, parent, name) === 0) return toU64(kobj);
		this.dynamic.delete(kobj);
		heap.kfree(kobj);
		return 0n;
	}

	/** kobject_put(); the last one is kobject_cleanup(). */
	*#put(kobj: Kaddr): Kernel<undefined> {
		const { memory, heap, calls, refcounts } = this.#parts;
		if (kobj === 0 || !refcounts.dec_and_test(this.#at(kobj, "kobject.kref"))) return undefined;
		const parent = this.#pointer(kobj, "kobject.parent");
		const node = this.nodes.get(kobj);
		if (node !== undefined) {
			this.nodes.delete(kobj);
			this.#setBit(kobj, STATE_IN_SYSFS, false);
			while (node.active > 0) yield { ...wait("kernfs_drain", () => node.active === 0), aside: true };
			memory.setU64(this.#at(kobj, "kobject.parent"), 0n);
		}
		const name = this.#pointer(kobj, "kobject.name");
		const ktype = this.#pointer(kobj, "kobject.ktype");
		const release = ktype === 0 ? 0 : this.#pointer(ktype, "kobj_type.release");
		if (this.dynamic.delete(kobj)) heap.kfree(kobj);
		else if (release !== 0) yield* calls.call(release, toU64(kobj));
		heap.kfree(name);
		if (node !== undefined) yield* this.#put(parent);
		return undefined;
	}

	functions(): HostFunctions {
		const { format } = this.#parts;
		return {
			plain: {
				kobject_init: (args) => {
					this.#init(args.pointer(0), args.pointer(1));
					return undefined;
				},
				kobject_add: (args) => this.#add(args.pointer(0), args.pointer(1), format(args, 2)),
				kobject_create_and_add: (args) => this.#create(args.string(0), args.pointer(1)),
			},
			sleeping: { kobject_put: (args) => this.#put(args.pointer(0)) },
		};
	}

	// ---- files ----

	/** Pointers of an array that ends with NULL. */
	*#array(start: Kaddr): Generator<Kaddr, void, void> {
		const { memory } = this.#parts;
		for (let i = 0; start !== 0 && i < MOST; i++) {
			const entry = memory.kaddr((start + 8 * i) | 0);
			if (entry === 0) return;
			yield entry;
		}
	}

	/** The default attributes of a kobject's type, in their order: name and struct attribute. */
	*attributes(kobj: Kaddr): Generator<[string, Attribute], void, void> {
		const { memory } = this.#parts;
		const ktype = this.#pointer(kobj, "kobject.ktype");
		if (ktype === 0) return;
		for (const group of this.#array(this.#pointer(ktype, "kobj_type.default_groups"))) {
			for (const attr of this.#array(this.#pointer(group, "attribute_group.attrs"))) {
				const name = memory.string(toU64(this.#pointer(attr, "attribute.name")));
				yield [name, { kobj, attr, mode: memory.u32(this.#at(attr, "attribute.mode")) & 0o777 }];
			}
		}
	}

	/** Every directory and file below a folder, without it: path and attribute; undefined for a directory. */
	*tree(folder: string): Generator<[string, Attribute | undefined], void, void> {
		for (const [kobj, { path }] of this.nodes) {
			if (!path.startsWith(`${folder}/`)) continue;
			const below = path.slice(folder.length + 1);
			yield [below, undefined];
			for (const [name, attribute] of this.attributes(kobj)) yield [`${below}/${name}`, attribute];
		}
	}

	/** The file or directory at a path; undefined: there is none. */
	find(folder: string, path: string): { readonly attribute: Attribute | undefined } | undefined {
		for (const [at, attribute] of this.tree(folder)) if (at === path) return { attribute };
		return undefined;
	}

	mode(folder: string, path: string): number | undefined {
		const found = this.find(folder, path);
		if (found === undefined) return undefined;
		return found.attribute?.mode ?? S_IFDIR | 0o755;
	}

	/** sysfs_ops->show or ->store of a file's type; 0: it has none. */
	operation({ kobj }: Attribute, what: "show" | "store"): Kaddr {
		const ops = this.#pointer(this.#pointer(kobj, "kobject.ktype"), "kobj_type.sysfs_ops");
		return ops === 0 ? 0 : this.#pointer(ops, `sysfs_ops.${what}`);
	}

	/** sysfs_kf_seq_show(): the text that the file's show() writes, or a negative errno. */
	*read(folder: string, path: string): Kernel<string | number> {
		const { memory, heap } = this.#parts;
		const attribute = this.find(folder, path)?.attribute;
		if (attribute === undefined) return -ENOENT;
		const buf = heap.kmalloc(PAGE, true);
		const length = yield* this.#call(attribute, "show", toU64(buf));
		const text = length < 0 ? length : new TextDecoder().decode(memory.read(buf, Math.min(length, PAGE - 1)));
		heap.kfree(buf);
		return text;
	}

	/** sysfs_kf_write(): 0 or a negative errno. */
	*write(folder: string, path: string, value: string): Kernel<number> {
		const { heap, memory } = this.#parts;
		const attribute = this.find(folder, path)?.attribute;
		if (attribute === undefined) return -ENOENT;
		const text = new TextEncoder().encode(`${value}\0`);
		const count = text.length - 1;
		if (count >= PAGE) return -EINVAL;
		// Not where small objects are: where it lies does not depend on which names there are.
		const buf = heap.kmalloc(PAGE, false);
		if (buf === 0) return -ENOMEM;
		heap.resize(buf, text.length);
		memory.write(buf, text);
		const ret = yield* this.#call(attribute, "store", toU64(buf), BigInt(count));
		heap.kfree(buf);
		return Math.min(ret, 0);
	}

	*#call(attribute: Attribute, what: "show" | "store", ...args: readonly bigint[]): Kernel<number> {
		const func = this.operation(attribute, what);
		if (func === 0) return -EIO;
		const node = this.nodes.get(attribute.kobj)!;
		node.active++;
		const { kobj, attr } = attribute;
		const ret = yield* this.#parts.calls.call(func, toU64(kobj), toU64(attr), ...args);
		node.active--;
		return Number(BigInt.asIntN(64, ret));
	}
}
