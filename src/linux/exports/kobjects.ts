import { declareState, KlpemuError } from "../../base/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { GuestArguments, GuestCalls, GuestMemory, Heap, HostFunctions, Refcounts } from "../guest/index.js";
import { type Dmesg, EEXIST, EINVAL, EIO, ENOENT, KERN, type Kernel, S_IFDIR } from "../lib/index.js";

/** struct kobject, struct attribute and struct kobj_attribute (include/linux/kobject.h, sysfs.h). */
const KOBJECT = { name: 0, entry: 8, parent: 24, kset: 32, ktype: 40, kref: 56, state: 60, size: 64 } as const;
const KOBJ_TYPE = { release: 0, sysfs_ops: 8, default_groups: 16 } as const;
const SYSFS_OPS = { show: 0, store: 8 } as const;
/** The kobject of a struct kset is behind its list and the list's lock. */
const KSET = { list: 0, kobj: 24, size: 96 } as const;
/** state_initialized, state_in_sysfs */
const INITIALIZED = 1;
const IN_SYSFS = 2;
const ATTRIBUTE = { name: 0, mode: 8, show: 16, store: 24 } as const;
const GROUP = { name: 0, is_visible: 8, attrs: 24 } as const;
/** The longest array of attributes or groups. */
const MOST = 1000;
/** A show() may fill a page. */
const PAGE = 4096;

/** A file of a kobject. Its mode is that of the moment at which it was made. */
interface KobjFile {
	readonly attribute: Kaddr;
	readonly mode: number;
}

interface Directory {
	readonly path: string;
	readonly files: Map<string, KobjFile>;
}

/** kobjects that modules make, and their files in sysfs. */
export class Kobjects {
	static readonly state = declareState("Kobjects", { fields: ["directories", "own"] });

	readonly #memory: GuestMemory;
	readonly #heap: Heap;
	readonly #calls: GuestCalls;
	readonly #refcounts: Refcounts;
	private readonly directories = new Map<Kaddr, Directory>();
	/** What kobject_create() and kset_create() have allocated: the object of the heap, by the kobject in it. */
	private readonly own = new Map<Kaddr, Kaddr>();
	readonly #dmesg: Dmesg;

	constructor(memory: GuestMemory, heap: Heap, calls: GuestCalls, refcounts: Refcounts, dmesg: Dmesg) {
		this.#dmesg = dmesg;
		this.#memory = memory;
		this.#heap = heap;
		this.#calls = calls;
		this.#refcounts = refcounts;
	}

	#string(address: Kaddr): string {
		return this.#memory.string(this.#memory.u64(address));
	}

	/**
	 * `/sys/kernel/test`: the names of its parents, which end in kernel_kobj, called "kernel". The kernel's get_kobj_path_length() would
	 * never end for a kobject that is its own parent: the watchdog would stop it.
	 */
	#pathOf(kobj: Kaddr): string {
		const names: string[] = [];
		const seen = new Set<Kaddr>();
		for (let at = kobj; at !== 0; at = this.#memory.kaddr((at + KOBJECT.parent) | 0)) {
			const name = this.#string(at);
			if (seen.has(at)) {
				throw new KlpemuError("GUEST_ENDLESS", `kobject '${name}' is its own parent: its path has no end`);
			}
			seen.add(at);
			names.unshift(name);
		}
		return ["/sys", ...names].join("/");
	}

	/** kobject_create_and_add() */
	#create(name: string, parent: Kaddr): Kaddr {
		const kobj = this.#heap.kmalloc(KOBJECT.size, true);
		if (kobj === 0) return 0;
		return this.#createdIn(kobj, kobj, name, parent);
	}

	/** `object`: what is allocated and has the kobject in it. 0 if it cannot be added. */
	#createdIn(object: Kaddr, kobj: Kaddr, name: string, parent: Kaddr): Kaddr {
		this.#init(kobj, 0);
		this.own.set(kobj, object);
		if (this.#addDirectory(kobj, parent, name) === 0) return object;
		this.own.delete(kobj);
		this.#heap.kfree(object);
		return 0;
	}

	/** kobject_init() */
	#init(kobj: Kaddr, ktype: Kaddr): void {
		const memory = this.#memory;
		const entry = (kobj + KOBJECT.entry) | 0;
		memory.setU64(entry, toU64(entry));
		memory.setU64((entry + 8) | 0, toU64(entry));
		memory.setU64((kobj + KOBJECT.ktype) | 0, toU64(ktype));
		memory.setU32((kobj + KOBJECT.kref) | 0, 1);
		memory.setU32((kobj + KOBJECT.state) | 0, INITIALIZED);
	}

	/** kobject_add_internal(), without default groups. A name becomes a folder's: kobject_set_name() takes the slashes out. */
	#addDirectory(kobj: Kaddr, given: Kaddr, name: string): number {
		const memory = this.#memory;
		const kset = memory.kaddr((kobj + KOBJECT.kset) | 0);
		const parent = given === 0 && kset !== 0 ? (kset + KSET.kobj) | 0 : given;
		if (name === "") {
			this.#dmesg.WARN_ON(true, "kobject_add_internal: attempted to be registered with empty name!");
			return -EINVAL;
		}
		const safe = name.replaceAll("/", "!");
		memory.setU64((kobj + KOBJECT.name) | 0, toU64(this.#heap.kstrdup(safe)));
		memory.setU64((kobj + KOBJECT.parent) | 0, toU64(parent));
		const path = this.#pathOf(kobj);
		if ([...this.directories.values()].some((directory) => directory.path === path)) {
			this.#heap.kfree(memory.kaddr((kobj + KOBJECT.name) | 0));
			memory.setU64((kobj + KOBJECT.name) | 0, 0n);
			memory.setU64((kobj + KOBJECT.parent) | 0, 0n);
			this.#dmesg.print(KERN.WARNING, `sysfs: cannot create duplicate filename '${path.slice("/sys".length)}'`);
			this.#dmesg.print(
				KERN.ERR,
				`kobject: kobject_add_internal failed for ${safe} with -EEXIST, don't try to register things with the same name in the same directory.`,
			);
			return -EEXIST;
		}
		this.directories.set(kobj, { path, files: new Map() });
		memory.setU32((kobj + KOBJECT.state) | 0, INITIALIZED | IN_SYSFS);
		if (this.directories.has(parent)) this.#refcounts.inc((parent + KOBJECT.kref) | 0);
		return 0;
	}

	/** kobject_add(): with the default groups of its type. */
	*#add(kobj: Kaddr, parent: Kaddr, name: string): Kernel<number> {
		const ret = this.#addDirectory(kobj, parent, name);
		const ktype = this.#memory.kaddr((kobj + KOBJECT.ktype) | 0);
		if (ret !== 0 || ktype === 0) return ret;
		const added = yield* this.#addGroups(kobj, this.#memory.kaddr((ktype + KOBJ_TYPE.default_groups) | 0));
		if (added !== 0) yield* this.#put(this.#del(kobj));
		return added;
	}

	/** kobject_del(). Returns the parent, whose reference is to be put; 0: there is none. */
	#del(kobj: Kaddr): Kaddr {
		if (!this.directories.delete(kobj)) return 0;
		const parent = this.#memory.kaddr((kobj + KOBJECT.parent) | 0);
		this.#memory.setU64((kobj + KOBJECT.parent) | 0, 0n);
		this.#memory.setU32((kobj + KOBJECT.state) | 0, INITIALIZED);
		return this.directories.has(parent) ? parent : 0;
	}

	/** kobject_put(): the last one frees it, or calls release() of its type. */
	*#put(kobj: Kaddr): Kernel<undefined> {
		if (kobj === 0) return undefined;
		// It changes the reference count.
		this.#memory.checkWritable(kobj, KOBJECT.size);
		if (!this.#refcounts.dec_and_test((kobj + KOBJECT.kref) | 0)) return undefined;
		const parent = this.#del(kobj);
		const name = this.#memory.kaddr((kobj + KOBJECT.name) | 0);
		const own = this.own.get(kobj);
		this.own.delete(kobj);
		const ktype = own === undefined ? this.#memory.kaddr((kobj + KOBJECT.ktype) | 0) : 0;
		const release = ktype === 0 ? 0 : this.#memory.kaddr((ktype + KOBJ_TYPE.release) | 0);
		if (release !== 0) yield* this.#calls.call(release, toU64(kobj));
		this.#heap.kfree(name);
		if (own !== undefined) this.#heap.kfree(own);
		yield* this.#put(parent);
		return undefined;
	}

	/** kset_create_and_add(name, uevent_ops, parent) */
	#createSet(name: string, parent: Kaddr): Kaddr {
		const kset = this.#heap.kmalloc(KSET.size, true);
		if (kset === 0) return 0;
		this.#memory.setU64(kset, toU64(kset));
		this.#memory.setU64((kset + 8) | 0, toU64(kset));
		return this.#createdIn(kset, (kset + KSET.kobj) | 0, name, parent);
	}

	#directory(kobj: Kaddr): Directory | undefined {
		if (kobj !== 0) this.#memory.read(kobj, KOBJECT.size);
		return this.directories.get(kobj);
	}

	/** Name of an attribute's file, below its kobject. `group`: the name of a folder between them; NULL: none. */
	#fileName(attribute: Kaddr, group: Kaddr = 0): string {
		const folder = group === 0 || this.#memory.u64(group) === 0n ? "" : `${this.#string(group)}/`;
		return folder + this.#string((attribute + ATTRIBUTE.name) | 0);
	}

	#addFile(kobj: Kaddr, attribute: Kaddr, name = this.#fileName(attribute), mode?: number): number {
		const directory = this.#directory(kobj);
		if (directory === undefined) return -EINVAL;
		if (directory.files.has(name)) return -EEXIST;
		const bits = mode ?? this.#memory.u32((attribute + ATTRIBUTE.mode) | 0);
		directory.files.set(name, { attribute, mode: bits & 0o777 });
		return 0;
	}

	/** Pointers of an array that ends with NULL. */
	#array(start: Kaddr): Kaddr[] {
		const entries: Kaddr[] = [];
		for (let at = start; at !== 0 && entries.length < MOST; at = (at + 8) | 0) {
			const entry = this.#memory.kaddr(at);
			if (entry === 0) break;
			entries.push(entry);
		}
		return entries;
	}

	/** sysfs_create_files(): all of them, or none. */
	#addFiles(kobj: Kaddr, attributes: Kaddr): number {
		const added: Kaddr[] = [];
		for (const attribute of this.#array(attributes)) {
			const ret = this.#addFile(kobj, attribute);
			if (ret !== 0) {
				this.#removeFiles(kobj, added);
				return ret;
			}
			added.push(attribute);
		}
		return 0;
	}

	/** sysfs_create_group(): is_visible() decides about the mode of each file, and 0 means that there is none. */
	*#addGroup(kobj: Kaddr, group: Kaddr): Kernel<number> {
		const memory = this.#memory;
		const is_visible = memory.kaddr((group + GROUP.is_visible) | 0);
		const attributes = this.#array(memory.kaddr((group + GROUP.attrs) | 0));
		for (const [index, attribute] of attributes.entries()) {
			const args = [toU64(kobj), toU64(attribute), BigInt(index)];
			const mode = is_visible === 0 ? undefined : Number((yield* this.#calls.call(is_visible, ...args)) & 0xffffn);
			if (mode === 0) continue;
			const ret = this.#addFile(kobj, attribute, this.#fileName(attribute, group), mode);
			if (ret === 0) continue;
			this.#removeGroup(kobj, group, index);
			return ret;
		}
		return 0;
	}

	#removeGroup(kobj: Kaddr, group: Kaddr, count = MOST): undefined {
		const attributes = this.#array(this.#memory.kaddr((group + GROUP.attrs) | 0)).slice(0, count);
		return this.#removeFiles(kobj, attributes, group);
	}

	#removeFiles(kobj: Kaddr, attributes: readonly Kaddr[], group: Kaddr = 0): undefined {
		for (const attribute of attributes) this.#directory(kobj)?.files.delete(this.#fileName(attribute, group));
		return undefined;
	}

	*#addGroups(kobj: Kaddr, groups: Kaddr): Kernel<number> {
		const added: Kaddr[] = [];
		for (const group of this.#array(groups)) {
			const ret = yield* this.#addGroup(kobj, group);
			if (ret !== 0) {
				for (const one of added) this.#removeGroup(kobj, one);
				return ret;
			}
			added.push(group);
		}
		return 0;
	}

	/** `format`: the text of a format, by its argument's index. */
	functions(format: (args: GuestArguments, at: number) => string): HostFunctions {
		return {
			plain: {
				kobject_create_and_add: (args) => BigInt(this.#create(args.string(0), args.pointer(1))),
				kobject_get: (args) => {
					if (args.pointer(0) !== 0) this.#refcounts.inc((args.pointer(0) + KOBJECT.kref) | 0);
					return args.u64(0);
				},
				kobject_init: (args) => {
					this.#init(args.pointer(0), args.pointer(1));
					return undefined;
				},
				kset_create_and_add: (args) => toU64(this.#createSet(args.string(0), args.pointer(2))),
				// Events for user space: nobody listens.
				kobject_uevent: () => 0,
				kobject_uevent_env: () => 0,
				// The path below /sys.
				kobject_get_path: (args) => toU64(this.#heap.kstrdup(this.#pathOf(args.pointer(0)).slice("/sys".length))),
				sysfs_create_file: (args) => this.#addFile(args.pointer(0), args.pointer(1)),
				sysfs_create_files: (args) => this.#addFiles(args.pointer(0), args.pointer(1)),
				sysfs_remove_file: (args) => this.#removeFiles(args.pointer(0), [args.pointer(1)]),
				sysfs_remove_files: (args) => this.#removeFiles(args.pointer(0), this.#array(args.pointer(1))),
				sysfs_remove_group: (args) => this.#removeGroup(args.pointer(0), args.pointer(1)),
				sysfs_remove_groups: (args) => {
					for (const group of this.#array(args.pointer(1))) this.#removeGroup(args.pointer(0), group);
					return undefined;
				},
				// Nobody polls a file.
				sysfs_notify: () => undefined,
			},
			sleeping: {
				// (kobj, parent, format, ...)
				kobject_add: (args) => this.#add(args.pointer(0), args.pointer(1), format(args, 2)),
				// (kobj, ktype, parent, format, ...)
				kobject_init_and_add: (args) => {
					this.#init(args.pointer(0), args.pointer(1));
					return this.#add(args.pointer(0), args.pointer(2), format(args, 3));
				},
				kobject_del: (args) => this.#put(args.pointer(0) === 0 ? 0 : this.#del(args.pointer(0))),
				kobject_put: (args) => this.#put(args.pointer(0)),
				kset_unregister: (args) => this.#put(args.pointer(0) === 0 ? 0 : (args.pointer(0) + KSET.kobj) | 0),
				sysfs_create_group: (args) => this.#addGroup(args.pointer(0), args.pointer(1)),
				sysfs_create_groups: (args) => this.#addGroups(args.pointer(0), args.pointer(1)),
			},
		};
	}

	#find(path: string): (KobjFile & { readonly kobj: Kaddr }) | undefined {
		for (const [kobj, { path: directory, files }] of this.directories) {
			const file = path.startsWith(`${directory}/`) ? files.get(path.slice(directory.length + 1)) : undefined;
			if (file !== undefined) return { kobj, ...file };
		}
		return undefined;
	}

	/** The directories and files of modules in `/sys/kernel`: their paths. */
	paths(): string[] {
		return [...this.directories.values()].flatMap(({ path, files }) => [
			path,
			...foldersOf(files).map((folder) => `${path}/${folder}`),
			...[...files.keys()].map((file) => `${path}/${file}`),
		]);
	}

	/** File mode; undefined if there is no such file. */
	mode(path: string): number | undefined {
		const isFolder = [...this.directories.values()].some(
			({ path: at, files }) => at === path || foldersOf(files).some((folder) => `${at}/${folder}` === path),
		);
		if (isFolder) return S_IFDIR | 0o755;
		return this.#find(path)?.mode;
	}

	/** Of the kobject's type, or of the attribute itself, as kobj_sysfs_ops calls it; 0: there is none. */
	#operation({ kobj, attribute }: { kobj: Kaddr; attribute: Kaddr }, what: "show" | "store"): Kaddr {
		const ktype = this.#memory.kaddr((kobj + KOBJECT.ktype) | 0);
		if (ktype === 0) return this.#memory.kaddr((attribute + ATTRIBUTE[what]) | 0);
		const ops = this.#memory.kaddr((ktype + KOBJ_TYPE.sysfs_ops) | 0);
		return ops === 0 ? 0 : this.#memory.kaddr((ops + SYSFS_OPS[what]) | 0);
	}

	/** The text that the file's show() writes, or a negative errno. */
	*read(path: string): Kernel<string | number> {
		const found = this.#find(path);
		if (found === undefined) return -ENOENT;
		const show = this.#operation(found, "show");
		if (show === 0) return -EIO;
		const buf = this.#heap.kmalloc(PAGE, true);
		const args = [found.kobj, found.attribute, buf].map(toU64);
		const length = Number(BigInt.asIntN(64, yield* this.#calls.call(show, ...args)));
		const text = length < 0 ? length : new TextDecoder().decode(this.#memory.read(buf, Math.min(length, PAGE - 1)));
		this.#heap.kfree(buf);
		return text;
	}

	/** 0 or a negative errno. */
	*write(path: string, value: string): Kernel<number> {
		const found = this.#find(path);
		if (found === undefined) return -ENOENT;
		const store = this.#operation(found, "store");
		if (store === 0) return -EIO;
		const buf = this.#heap.kstrdup(value);
		const count = BigInt(new TextEncoder().encode(value).length);
		const args = [toU64(found.kobj), toU64(found.attribute), toU64(buf), count];
		const ret = Number(BigInt.asIntN(64, yield* this.#calls.call(store, ...args)));
		this.#heap.kfree(buf);
		return Math.min(ret, 0);
	}
}

/** The groups of attributes that have a folder. */
function foldersOf(files: ReadonlyMap<string, KobjFile>): string[] {
	return [...new Set([...files.keys()].filter((name) => name.includes("/")).map((name) => name.split("/")[0]!))];
}
