import { declareState, KlpemuError } from "../../base/index.js";
import { type Kaddr, toU64 } from "../../memory/index.js";
import type { GuestCalls, GuestMemory, Heap, HostFunctions, Refcounts } from "../guest/index.js";
import { EEXIST, EINVAL, EIO, ENOENT, type Kernel, S_IFDIR } from "../lib/index.js";

/** struct kobject, struct attribute and struct kobj_attribute (include/linux/kobject.h, sysfs.h). */
const KOBJECT = { name: 0, parent: 24, kref: 56, size: 64 } as const;
const ATTRIBUTE = { name: 0, mode: 8, show: 16, store: 24 } as const;
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
	static readonly state = declareState("Kobjects", { fields: ["directories"] });

	readonly #memory: GuestMemory;
	readonly #heap: Heap;
	readonly #calls: GuestCalls;
	readonly #refcounts: Refcounts;
	private readonly directories = new Map<Kaddr, Directory>();

	constructor(memory: GuestMemory, heap: Heap, calls: GuestCalls, refcounts: Refcounts) {
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

	/** kobject_create_and_add(). A name becomes a folder's: kobject_set_name() takes the slashes out. */
	#create(name: string, parent: Kaddr): Kaddr {
		const kobj = this.#heap.kmalloc(KOBJECT.size, true);
		if (kobj === 0) return 0;
		this.#memory.setU64((kobj + KOBJECT.name) | 0, toU64(this.#heap.kstrdup(name.replaceAll("/", "!"))));
		if (parent !== 0) this.#memory.setU64((kobj + KOBJECT.parent) | 0, toU64(parent));
		this.#memory.setU32((kobj + KOBJECT.kref) | 0, 1);
		this.directories.set(kobj, { path: this.#pathOf(kobj), files: new Map() });
		if (this.directories.has(parent)) this.#refcounts.inc((parent + KOBJECT.kref) | 0);
		return kobj;
	}

	/** kobject_put(): the last one frees it. */
	#put(kobj: Kaddr): void {
		if (kobj === 0) return;
		// It changes the reference count.
		this.#memory.checkWritable(kobj, KOBJECT.size);
		if (!this.#refcounts.dec_and_test((kobj + KOBJECT.kref) | 0) || !this.directories.delete(kobj)) return;
		const parent = this.#memory.kaddr((kobj + KOBJECT.parent) | 0);
		this.#heap.kfree(this.#memory.kaddr((kobj + KOBJECT.name) | 0));
		this.#heap.kfree(kobj);
		if (this.directories.has(parent)) this.#put(parent);
	}

	#addFile(kobj: Kaddr, attribute: Kaddr): number {
		if (kobj !== 0) this.#memory.read(kobj, KOBJECT.size);
		const directory = this.directories.get(kobj);
		if (directory === undefined) return -EINVAL;
		const name = this.#string((attribute + ATTRIBUTE.name) | 0);
		if (directory.files.has(name)) return -EEXIST;
		directory.files.set(name, { attribute, mode: this.#memory.u32((attribute + ATTRIBUTE.mode) | 0) & 0o777 });
		return 0;
	}

	functions(): HostFunctions {
		return {
			plain: {
				kobject_create_and_add: (args) => BigInt(this.#create(args.string(0), args.pointer(1))),
				kobject_put: (args) => {
					this.#put(args.pointer(0));
					return undefined;
				},
				sysfs_create_file: (args) => this.#addFile(args.pointer(0), args.pointer(1)),
			},
			sleeping: {},
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
			...[...files.keys()].map((file) => `${path}/${file}`),
		]);
	}

	/** File mode; undefined if there is no such file. */
	mode(path: string): number | undefined {
		if ([...this.directories.values()].some((directory) => directory.path === path)) return S_IFDIR | 0o755;
		return this.#find(path)?.mode;
	}

	/** The text that the file's show() writes, or a negative errno. */
	*read(path: string): Kernel<string | number> {
		const found = this.#find(path);
		if (found === undefined) return -ENOENT;
		const show = this.#memory.kaddr((found.attribute + ATTRIBUTE.show) | 0);
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
		const store = this.#memory.kaddr((found.attribute + ATTRIBUTE.store) | 0);
		if (store === 0) return -EIO;
		const buf = this.#heap.kstrdup(value);
		const count = BigInt(new TextEncoder().encode(value).length);
		const args = [toU64(found.kobj), toU64(found.attribute), toU64(buf), count];
		const ret = Number(BigInt.asIntN(64, yield* this.#calls.call(store, ...args)));
		this.#heap.kfree(buf);
		return Math.min(ret, 0);
	}
}
