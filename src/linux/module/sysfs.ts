import { toU64 } from "../../memory/index.js";
import { ENOENT, type Kernel, S_IFDIR } from "../lib/index.js";
import type { LoadedModule, Loader } from "./loader.js";
import { taintsOf } from "./procfs.js";

/** SHT_NOTE */
const NOTE = 7;
/** Sections that the loader reads and does not keep (kernel/module/main.c), and per-CPU variables, whose addresses are none. */
const NOT_KEPT = /^(?:\.modinfo|__versions|__version_ext_.*|\.data\.\.percpu.*)$/;

interface File {
	readonly mode: number;
	/** The text, with its newline. Undefined: it is a parameter, or written to only. */
	readonly show: (() => string) | undefined;
}

/** /sys/module: what kernel/module/sysfs.c and kernel/params.c show of each module. */
export class ModuleFiles {
	readonly #loader: Loader;

	constructor(loader: Loader) {
		this.#loader = loader;
	}

	/** The files below a module's own folder, in order. */
	#files(mod: LoadedModule): Map<string, File> {
		const files = new Map<string, File>();
		const text = (name: string, show: () => string, mode = 0o444) => files.set(name, { mode, show });
		const folder = (name: string) => files.set(name, { mode: S_IFDIR | 0o755, show: undefined });
		text("refcnt", () => `${mod.refcount}\n`);
		text("initstate", () => `${mod.state}\n`);
		// Init sections stay in memory, as a part of the module.
		text("coresize", () => `${mod.image.regions.reduce((sum, { length }) => sum + length, 0)}\n`);
		text("initsize", () => "0\n");
		text("taint", () => `${taintsOf(mod)}\n`);
		const { version, srcversion } = mod;
		if (version !== undefined) text("version", () => `${version}\n`);
		if (srcversion !== undefined) text("srcversion", () => `${srcversion}\n`);
		files.set("uevent", { mode: 0o200, show: undefined });
		folder("holders");
		for (const { name, needs } of this.#loader.modules.values()) if (needs.has(mod)) folder(`holders/${name}`);
		this.#addSections(mod, files);
		const params = mod.params.filter(({ perm }) => perm !== 0);
		if (params.length > 0) folder("parameters");
		for (const { name, perm } of params) files.set(`parameters/${name}`, { mode: perm, show: undefined });
		return files;
	}

	/** sections/NAME is the address of a section, notes/NAME what is in a note. */
	#addSections({ image }: LoadedModule, files: Map<string, File>): void {
		const sections = image.placedSections.filter(({ name, size }) => size > 0 && !NOT_KEPT.test(name));
		const notes = sections.filter(({ type }) => type === NOTE);
		const folder: File = { mode: S_IFDIR | 0o755, show: undefined };
		files.set("sections", folder);
		for (const { name, address } of sections) {
			files.set(`sections/${name}`, {
				mode: 0o400,
				show: () => `0x${toU64(address).toString(16).padStart(16, "0")}\n`,
			});
		}
		if (notes.length > 0) files.set("notes", folder);
		for (const { name, read } of notes) {
			files.set(`notes/${name}`, { mode: 0o444, show: () => new TextDecoder("latin1").decode(read()) });
		}
	}

	#find(path: string): { mod: LoadedModule; name: string; file: File } | undefined {
		const [folder = "", ...rest] = path.split("/");
		const mod = this.#loader.modules.get(folder);
		if (mod === undefined) return undefined;
		const name = rest.join("/");
		const own: File = { mode: S_IFDIR | 0o755, show: undefined };
		const file = path === folder ? own : this.#files(mod).get(name);
		return file && { mod, name, file };
	}

	#param({ mod, name }: { mod: LoadedModule; name: string }) {
		return mod.params.find((param) => `parameters/${param.name}` === name);
	}

	paths(): string[] {
		return [...this.#loader.modules.values()].flatMap((mod) => [
			mod.name,
			...[...this.#files(mod).keys()].map((name) => `${mod.name}/${name}`),
		]);
	}

	mode(path: string): number | undefined {
		return this.#find(path)?.file.mode;
	}

	/** The text of a file, with its newline, or a negative errno. */
	*read(path: string): Kernel<string | number> {
		const found = this.#find(path);
		const param = found && this.#param(found);
		if (param !== undefined) return yield* this.#loader.params.get(param);
		return found?.file.show?.() ?? -ENOENT;
	}

	*write(path: string, value: string): Kernel<number> {
		const found = this.#find(path);
		const param = found && this.#param(found);
		if (param !== undefined) return yield* this.#loader.params.write(param, value);
		// An event for user space: nobody listens.
		return found?.name === "uevent" ? 0 : -ENOENT;
	}
}
