import { type Kaddr, type Memory, toU64 } from "../../memory/index.js";
import type { LivepatchSysfs } from "../klp/index.js";
import { EACCES, EIO, ENOENT, type Kernel } from "../lib/index.js";
import type { Attribute, CoreKobjects } from "./externals/index.js";
import type { Scratch } from "./scratch.js";

/** Below /sys/kernel. */
const FOLDER = "livepatch";

/** /sys/kernel/livepatch, as the core's kobjects and their attributes make it. */
export class CoreSysfs implements LivepatchSysfs {
	readonly #kobjects: CoreKobjects;
	readonly #scratch: Scratch;
	readonly #memory: Memory;
	/** The owner of klp_mutex. */
	readonly #mutex: Kaddr;
	readonly #tell: (what: string) => void;

	/** `tell` is told of a show() that faults. */
	constructor(kobjects: CoreKobjects, scratch: Scratch, memory: Memory, mutex: Kaddr, tell: (what: string) => void) {
		this.#kobjects = kobjects;
		this.#scratch = scratch;
		this.#memory = memory;
		this.#mutex = mutex;
		this.#tell = tell;
	}

	*entries(): Generator<[string, string], void, void> {
		for (const [path, attribute] of this.#kobjects.tree(FOLDER)) {
			if (attribute === undefined || (attribute.mode & 0o444) === 0) continue;
			const text = this.#show(path, attribute);
			if (typeof text === "string") yield [path, text];
		}
	}

	paths(): string[] {
		return [...this.#kobjects.tree(FOLDER)].map(([path]) => path);
	}

	mode(path: string): number | undefined {
		return this.#kobjects.mode(FOLDER, path);
	}

	/** For observers: the attribute's own show(), run by no task. */
	read(path: string): string | number {
		const attribute = this.#kobjects.find(FOLDER, path)?.attribute;
		if (attribute === undefined) return -ENOENT;
		return (attribute.mode & 0o444) === 0 ? -EACCES : this.#show(path, attribute);
	}

	#show(path: string, attribute: Attribute): string | number {
		const show = this.#kobjects.operation(attribute, "show");
		if (show === 0) return -EIO;
		const memory = this.#memory;
		const buffer = this.#scratch.page;
		// A show() may take the lock, and give it back.
		const owner = memory.u64(this.#mutex);
		const { kobj, attr } = attribute;
		const length = this.#scratch.call(show, toU64(kobj), toU64(attr), toU64(buffer));
		memory.setU64(this.#mutex, owner);
		if (length === undefined) {
			// Whoever reads the file dies of it.
			this.#tell(`the show() of /sys/kernel/${FOLDER}/${path} faults`);
			return -EIO;
		}
		const count = Number(BigInt.asIntN(64, length));
		if (count < 0) return count;
		return new TextDecoder().decode(memory.read(buffer, count)).replace(/\n$/, "");
	}

	show(path: string): Kernel<string | number> {
		return this.#kobjects.read(FOLDER, path);
	}

	write(path: string, value: string): Kernel<number> {
		return this.#kobjects.write(FOLDER, path, value);
	}
}
