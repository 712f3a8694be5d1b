import { declareState, KlpemuError } from "../../base/index.js";
import {
	type ElfObject,
	type Image,
	klpConvert,
	linkImage,
	type PerCpuRoom,
	THIS_MODULE,
	UndefinedSymbols,
} from "../../elf/index.js";
import { hex, isKaddr, type Kaddr, type Memory, toKaddr } from "../../memory/index.js";
import type { Ftrace, Symbols } from "../ftrace/index.js";
import type { GuestCalls, Heap, HostFunctions } from "../guest/index.js";
import { type FieldValues, type klp_patch, type Livepatch, type module, textOf } from "../klp/index.js";
import {
	type Dmesg,
	EAGAIN,
	EBUSY,
	EEXIST,
	ENOENT,
	ENOEXEC,
	ENOMEM,
	type FaultInjection,
	type GuestAreas,
	type Icache,
	type Kallsyms,
	type Kernel,
	type KernelLayout,
	Printer,
} from "../lib/index.js";
import { PERCPU_MODULES, type PerCpu, type Sched, synchronize_rcu } from "../sched/index.js";
import { Imports } from "./imports.js";
import { type KernelObject, modinfoOf, onlyKernelObject, refusalOf, structName } from "./kernel-object.js";
import { license_is_gpl_compatible } from "./licence.js";
import { ModuleNotifiers } from "./notifiers.js";
import { type Param, Params } from "./params.js";
import { HEADERS_LAYOUT, structIn } from "./structs.js";

/** Name of the first image, the core kernel. */
const VMLINUX = "vmlinux";
/** enum module_state, in its order. */
const MODULE_STATES = ["live", "coming", "going", "unformed"] as const;
export type ModuleState = (typeof MODULE_STATES)[number];

/** Messages that are printed once. */
type Message = "livepatch" | "out-of-tree" | "licence" | "versions";

/** What the .modinfo of a module says. */
interface Kind {
	readonly livepatch: boolean;
	readonly outOfTree: boolean;
	readonly license: string;
	/** MODULE_IMPORT_NS() */
	readonly namespaces: readonly string[];
	/** MODULE_VERSION() */
	readonly version: string | undefined;
	/** A checksum of its sources, as modpost makes it. */
	readonly srcversion: string | undefined;
}

/** Of objects without a .ko: modpost, which asks for a licence, has not seen them. */
function kindOf(objects: readonly ElfObject[], ko: KernelObject | undefined, { patchOf }: InsmodOptions): Kind {
	const tag = (name: string) =>
		objects.map((object) => modinfoOf(object).get(name)?.[0]).find((value) => value !== undefined);
	const livepatch = patchOf !== undefined || tag("livepatch") === "Y";
	const license = ko?.license ?? tag("license") ?? "GPL";
	const namespaces = objects.flatMap((object) => modinfoOf(object).get("import_ns") ?? []);
	const [version, srcversion] = [tag("version"), tag("srcversion")];
	return { livepatch, outOfTree: ko !== undefined && !ko.intree, license, namespaces, version, srcversion };
}

/** Where a module's struct module is (0: not made yet), its init and exit (0: none). */
interface Entries {
	readonly address: Kaddr;
	readonly isKernelObject: boolean;
	readonly init: Kaddr;
	readonly exit: Kaddr;
}

/** Of a module that was compiled for asm/include. */
function ownEntries(image: Image, address: Kaddr): Entries {
	const [init = 0, exit = 0] = ["init_module", "cleanup_module"].map((name) => image.symbol(name)?.address);
	return { address, isKernelObject: false, init, exit };
}

/** A loaded module. */
export class LoadedModule implements module {
	static readonly state = declareState("LoadedModule", {
		fields: "all",
		apart: { field: "fields", text: (mod: LoadedModule) => `${mod.name} ${textOf(mod.fields)}` },
	});

	readonly name: string;
	readonly image: Image;
	readonly livepatch: boolean;
	readonly klpRelocations: Image["klpRelocations"];
	klp_alive = false;
	refcount = 0;
	state: ModuleState = "coming";
	/** The patch that its init enabled. */
	patch: klp_patch | undefined = undefined;
	/** Modules whose symbols it uses: they cannot be unloaded before it. */
	readonly needs: ReadonlySet<LoadedModule>;
	/** Its struct module in guest memory: in a .ko; else made at the first request; 0: not made yet. */
	address: Kaddr;
	/** It is a .ko: its structs have the layout of the kernel, not that of asm/include. */
	readonly isKernelObject: boolean;
	/** 0: it has none. */
	readonly init: Kaddr;
	readonly exit: Kaddr;
	/** Built outside of the kernel's tree; not asked of modules that are no .ko. */
	readonly outOfTree: boolean;
	/** By its licence, or because it uses symbols of a module that is (TAINT_PROPRIETARY_MODULE). */
	readonly proprietary: boolean;
	readonly version: string | undefined;
	readonly srcversion: string | undefined;
	params: readonly Param[] = [];
	/** Objects of the heap that are freed with the module. */
	readonly owned: Kaddr[] = [];
	/**
	 * Values for fields that a replace design adds to struct klp_patch and that the module's own struct does not have.
	 */
	readonly fields: FieldValues;

	constructor(
		given: Entries &
			Omit<Kind, "license" | "namespaces"> & {
				image: Image;
				needs: ReadonlySet<LoadedModule>;
				proprietary: boolean;
				fields: FieldValues;
			},
	) {
		this.name = given.image.name;
		this.image = given.image;
		this.klpRelocations = given.image.klpRelocations;
		this.livepatch = given.livepatch;
		this.needs = given.needs;
		this.address = given.address;
		this.isKernelObject = given.isKernelObject;
		this.init = given.init;
		this.exit = given.exit;
		this.outOfTree = given.outOfTree;
		this.proprietary = given.proprietary;
		this.version = given.version;
		this.srcversion = given.srcversion;
		this.fields = given.fields;
	}

	/** True in MODULE_STATE_LIVE: its functions can be called. False while the module is loaded or unloaded. */
	get live(): boolean {
		return this.state === "live";
	}
}

export interface InsmodOptions {
	/** Module parameters by name. */
	readonly params?: ReadonlyMap<string, string>;
	/** Makes the klp_patch that the module's init enables, if the module has no C code for that. */
	readonly patchOf?: (mod: LoadedModule) => klp_patch;
	/** Values for a replace design that a C module's struct klp_patch does not have. */
	readonly fields?: FieldValues;
}

interface Parts {
	readonly memory: Memory;
	readonly icache: Icache;
	readonly dmesg: Dmesg;
	readonly faults: FaultInjection;
	readonly areas: GuestAreas;
	readonly kallsyms: Kallsyms;
	readonly symbols: Symbols;
	/** All loaded modules by name. */
	readonly modules: Map<string, LoadedModule>;
	readonly sched: Sched;
	readonly percpu: PerCpu;
	readonly ftrace: Ftrace;
	readonly heap: Heap;
	readonly calls: GuestCalls;
	readonly klp: Livepatch;
	/** Address of __fentry__. */
	readonly fentry: Kaddr;
	/** The layout of the kernel whose .ko files can be loaded; undefined: none. */
	readonly layout?: KernelLayout | undefined;
	/** What a .ko finds under a name before all others; undefined: nothing. */
	readonly kernelSymbol?: ((name: string) => Kaddr | undefined) | undefined;
	/** Bytes of a struct module; default: that of asm/include/linux/module.h. */
	readonly moduleSize?: number | undefined;
}

/** kernel/module/main.c: loading and unloading modules. */
export class Loader {
	/** A taint is only reported. */
	static readonly state = declareState("Loader", { fields: ["modules", "params"], unkeyed: ["said"] });

	readonly #parts: Parts;
	readonly #print: Printer;
	readonly params: Params;
	readonly #notifiers: ModuleNotifiers;
	readonly modules: Map<string, LoadedModule>;
	private readonly said = new Set<Message>();
	/** struct module of asm/include. */
	readonly #ownModule = structIn(HEADERS_LAYOUT, "module", "state", "name");
	/** That of the .ko files which can be loaded. */
	readonly #kernelModule: Readonly<Record<"state", number>> | undefined;

	constructor(parts: Parts) {
		this.#parts = parts;
		this.#kernelModule = parts.layout && structIn(parts.layout, "module", "state");
		this.modules = parts.modules;
		this.#print = new Printer(parts.dmesg, "");
		this.#notifiers = new ModuleNotifiers(parts);
		this.params = new Params(parts.memory, parts.heap, parts.calls, this.#print);
	}

	functions(): HostFunctions {
		return this.params.functions();
	}

	/** Links vmlinux, the first image. */
	linkVmlinux(objects: readonly ElfObject[], base: Kaddr): Image {
		const image = this.link(VMLINUX, objects, base);
		this.#parts.kallsyms.add(image);
		return image;
	}

	/**
	 * Links objects into memory and adds their fentry sites to ftrace. `resolve`: its symbols, if not all that there are. `percpu`: room
	 * for its per-CPU variables.
	 */
	link(
		name: string,
		objects: readonly ElfObject[],
		base: Kaddr,
		resolve: (symbol: string) => Kaddr | undefined = (symbol) => this.#parts.symbols.resolve(symbol),
		percpu?: PerCpuRoom,
	): Image {
		const { memory, ftrace, fentry, icache } = this.#parts;
		const image = linkImage({ name, objects, base, memory, resolve, ...(percpu && { percpu }) });
		try {
			ftrace.ftrace_process_locs(name, image.mcountLocs, fentry, name !== VMLINUX);
		} catch (error) {
			image.unload();
			throw error;
		}
		for (const region of image.regions) icache.flush_icache_range(region.address, region.length);
		return image;
	}

	/** The struct module at an address. */
	moduleAt(address: Kaddr): LoadedModule | undefined {
		return address === 0 ? undefined : [...this.modules.values()].find((mod) => mod.address === address);
	}

	/** Address of a module's struct module, which is made at the first call. */
	structOf(mod: LoadedModule): Kaddr {
		if (mod.address === 0) {
			mod.address = this.#allocateStruct(mod.name);
			this.#setState(mod, mod.state);
		}
		return mod.address;
	}

	/** The layout of .ko files that can be loaded. */
	get layout(): KernelLayout | undefined {
		return this.#parts.layout;
	}

	/** Throws `HEAP_FULL`. */
	#allocateStruct(name: string): Kaddr {
		const { heap, memory, moduleSize } = this.#parts;
		const module = this.#ownModule;
		const address = heap.kmalloc(moduleSize ?? module.size, true);
		if (address === 0) throw new KlpemuError("HEAP_FULL", `no memory for the struct module of ${name}`);
		memory.write((address + module.name) | 0, new TextEncoder().encode(name));
		return address;
	}

	#setState(mod: LoadedModule, state: ModuleState): void {
		mod.state = state;
		if (mod.address === 0) return;
		const module = mod.isKernelObject ? this.#kernelModule! : this.#ownModule;
		this.#parts.memory.setU32((mod.address + module.state) | 0, MODULE_STATES.indexOf(state));
	}

	/**
	 * Loads a module and runs its init. 0 or a negative errno. A module that was refused is unloaded again, also for
	 * undefined symbols (-ENOENT) or sections that cannot be applied (-ENOEXEC). Throws the other errors of {@link
	 * linkImage}.
	 */
	*load_module(name: string, objects: readonly ElfObject[], options: InsmodOptions): Kernel<number> {
		if (this.modules.has(name)) return -EEXIST;
		if (this.#parts.faults.should_fail(`module_memory_alloc(${name})`)) return -ENOMEM;
		const mod = this.#load(name, objects, options);
		if (typeof mod === "number") return mod;
		this.#taints(name, mod);
		const relocated = this.#parts.klp.klp_apply_section_relocs(mod);
		if (relocated !== 0) {
			yield* this.#free_module(mod);
			return relocated;
		}
		const finalized = this.#finalize(mod);
		if (finalized !== 0) {
			yield* this.#free_module(mod);
			return finalized;
		}
		yield* this.#parts.ftrace.ftrace_module_enable(mod.image.mcountLocs);
		const coming = yield* this.#parts.klp.klp_module_coming(mod);
		if (coming !== 0) {
			yield* this.#free_module(mod);
			return coming;
		}
		const refused = yield* this.#tell("coming", mod);
		const ret = refused || (yield* this.#init(mod, options));
		if (ret === 0) {
			yield* this.#tell("live", mod);
			return 0;
		}
		this.#setState(mod, "going");
		if (refused === 0) yield* this.#tell("going", mod);
		yield* this.#parts.klp.klp_module_going(mod);
		yield* this.#free_module(mod);
		return ret;
	}

	#tell(state: "live" | "coming" | "going", mod: LoadedModule): Kernel<number> {
		return this.#notifiers.tell(state, () => this.structOf(mod));
	}

	/** module_augment_kernel_taints(): says once what kind of module is loaded. */
	#taints(
		name: string,
		{ outOfTree, livepatch, license }: Pick<Kind, "outOfTree" | "livepatch"> & Partial<Kind>,
	): void {
		if (outOfTree && this.#once("out-of-tree")) {
			this.#print.pr_warn(`${name}: loading out-of-tree module taints kernel.`);
		}
		if (livepatch && this.#once("livepatch")) {
			this.#print.pr_notice(`${name}: tainting kernel with TAINT_LIVEPATCH`);
		}
		if (license !== undefined && !license_is_gpl_compatible(license) && this.#once("licence")) {
			this.#print.pr_warn(`${name}: module license '${license}' taints kernel.`);
		}
	}

	/** True at the first call. */
	#once(message: Message): boolean {
		const first = !this.said.has(message);
		this.said.add(message);
		return first;
	}

	/** Links a module; a negative errno, with messages, if the kernel would refuse it. */
	#load(name: string, objects: readonly ElfObject[], options: InsmodOptions): LoadedModule | number {
		const ko = onlyKernelObject(objects);
		const layout = ko && this.#layoutFor(name, ko);
		if (ko !== undefined && layout === undefined) return -ENOEXEC;
		const kind = kindOf(objects, ko, options);
		const proprietary = !license_is_gpl_compatible(kind.license);
		// The kernel has all of them here; they would say nothing about why another module is refused.
		if (proprietary) this.#taints(name, kind);
		const { symbols } = this.#parts;
		let address: Kaddr = 0;
		const find = (symbol: string) => {
			if (ko !== undefined) return this.#parts.kernelSymbol?.(symbol) ?? symbols.resolve(symbol);
			if (symbol !== "__this_module") return symbols.resolve(symbol);
			if (address === 0) address = this.#allocateStruct(name);
			return address;
		};
		const importer = { name, proprietary, namespaces: kind.namespaces };
		const imports = new Imports(importer, find, this.modules, this.#print);
		let image: Image;
		try {
			image = this.link(
				name,
				// A .ko is what it is: a kernel does not convert it either.
				ko === undefined ? objects.map(klpConvert) : objects,
				this.#parts.areas.nextModule,
				(symbol) => imports.resolve(symbol),
				ko === undefined ? undefined : this.#perCpuRoom(),
			);
			if (imports.refused.length > 0) {
				this.#discard(image);
				throw new UndefinedSymbols(imports.refused, "a symbol of a name space that is not imported", name);
			}
		} catch (error) {
			this.#parts.heap.kfree(address);
			return this.#refusal(name, error, imports);
		}
		if (!imports.areNew(image.exports)) {
			this.#discard(image);
			return -ENOEXEC;
		}
		this.#parts.areas.takeModuleArea(image.end - image.base);
		this.#percpu_modcopy(image);
		const entries = layout === undefined ? ownEntries(image, address) : this.#entries(image, layout);
		const { fields = {} } = options;
		const { needs } = imports;
		const mod = new LoadedModule({ image, needs, fields, ...kind, proprietary: imports.proprietary, ...entries });
		this.#setState(mod, "coming");
		mod.params = this.params.list(image.sections("__param"));
		this.modules.set(name, mod);
		this.#parts.kallsyms.add(image);
		for (const needed of needs) needed.refcount++;
		return mod;
	}

	/** The layout of a .ko; undefined, with a message, if it is of another kernel. Throws `ELF_BAD_MODULE` if it has another name. */
	#layoutFor(name: string, ko: KernelObject): KernelLayout | undefined {
		const { layout } = this.#parts;
		const refusal = refusalOf(ko, layout);
		if (refusal !== undefined || layout === undefined) {
			this.#print.pr_err(`${name}: ${refusal}`);
			return undefined;
		}
		const own = structName(ko, layout);
		if (own !== name) {
			throw new KlpemuError("ELF_BAD_MODULE", `the module is called '${own}', not '${name}'`, {
				where: ko.object.fileName,
				hint: `name it ${own}: a module has the name that it was built with`,
			});
		}
		if (ko.hasVersions && this.#once("versions")) {
			this.#print.pr_info("klpemu: __versions is not read: checksums of symbols are not compared");
		}
		return layout;
	}

	/** The free part of the CPUs' areas: behind what loaded modules have, before what alloc_percpu() has given out. */
	#perCpuRoom(): PerCpuRoom {
		return { offset: this.percpuEnd, end: this.#parts.percpu.chunk.lowest };
	}

	/** The offset behind the per-CPU variables of all modules. */
	get percpuEnd(): number {
		const ends = [...this.modules.values()].map(
			({ image: { percpu } }) => percpu && percpu.offset + percpu.data.length,
		);
		return Math.max(PERCPU_MODULES, ...ends.map((end) => end ?? 0));
	}

	/** percpu_modcopy(): each CPU gets the initial values. */
	#percpu_modcopy({ percpu: variables }: Image): void {
		const { percpu, memory } = this.#parts;
		if (variables === undefined) return;
		for (const area of percpu.areas()) memory.write((area + variables.offset) | 0, variables.data);
	}

	/** What the struct module of a .ko says. Throws `ELF_BAD_MODULE`. */
	#entries(image: Image, layout: KernelLayout): Entries {
		const { memory } = this.#parts;
		const { address, object } = image.sections(THIS_MODULE)[0]!;
		const [init = 0n, exit = 0n] = ["module.init", "module.exit"].map((field) =>
			memory.u64((address + layout.offset(field)) | 0),
		);
		const wrong = [init, exit].find((value) => value !== 0n && !(isKaddr(value) && image.contains(toKaddr(value))));
		if (wrong === undefined) return { address, isKernelObject: true, init: toKaddr(init), exit: toKaddr(exit) };
		this.#discard(image);
		throw new KlpemuError(
			"ELF_BAD_MODULE",
			`its struct module has a function at ${hex(wrong)}, which is not in the module`,
			{
				where: object,
				hint: "the file is damaged, or the layout is of another kernel",
			},
		);
	}

	/** Takes an image away of which nobody knows yet. */
	#discard(image: Image): void {
		this.#parts.ftrace.sites.forget(image.mcountLocs);
		image.unload();
	}

	/** module_finalize(): 0 or a negative errno. */
	#finalize({ name, image }: LoadedModule): number {
		try {
			image.finalize();
		} catch (error) {
			return this.#refusal(name, error);
		}
		for (const region of image.regions) this.#parts.icache.flush_icache_range(region.address, region.length);
		return 0;
	}

	/**
	 * Prints in dmesg why a module cannot be linked, and returns the errno. Throws errors that a kernel would not
	 * report.
	 */
	#refusal(name: string, error: unknown, imports?: Imports<LoadedModule>): number {
		if (error instanceof UndefinedSymbols) {
			let ret = -ENOENT;
			for (const symbol of error.symbols) {
				ret = imports?.errno(symbol) ?? -ENOENT;
				this.#print.pr_warn(`${name}: Unknown symbol ${symbol} (err ${ret})`);
			}
			return ret;
		}
		if (!(error instanceof KlpemuError) || error.code !== "ELF_SPECIAL_SECTION") throw error;
		this.#print.pr_err(`${name}: ${error.reason}: ${error.hint}`);
		return -ENOEXEC;
	}

	/** parse_args() and do_init_module(). */
	*#init(mod: LoadedModule, { params, patchOf }: InsmodOptions): Kernel<number> {
		let ret = yield* this.params.parse(mod.name, mod.params, params ?? new Map());
		if (ret === 0 && this.#parts.faults.should_fail(`mod_sysfs_setup(${mod.name})`)) ret = -ENOMEM;
		if (ret === 0 && mod.init !== 0) {
			ret = Number(BigInt.asIntN(32, yield* this.#parts.calls.call(mod.init)));
			if (ret > 0) {
				this.#print.pr_warn(
					`do_init_module: '${mod.name}'->init suspiciously returned ${ret}, it should follow 0/-E convention`,
				);
				this.#print.pr_warn("do_init_module: loading module anyway...");
				ret = 0;
			}
		}
		if (ret === 0 && patchOf !== undefined) {
			mod.patch = patchOf(mod);
			ret = yield* this.#parts.klp.klp_enable_patch(mod.patch);
		}
		if (ret === 0) this.#setState(mod, "live");
		return ret;
	}

	/** Unloads a module: -ENOENT if there is none, -EAGAIN while it is in use, -EBUSY if it has no exit function. */
	*delete_module(name: string): Kernel<number> {
		const mod = this.modules.get(name);
		if (mod === undefined) return -ENOENT;
		if ([...this.modules.values()].some(({ needs }) => needs.has(mod))) return -EAGAIN;
		if (mod.state !== "live") return -EBUSY;
		if (mod.exit === 0 && mod.init !== 0) return -EBUSY;
		if (mod.refcount !== 0) return -EAGAIN;
		this.#setState(mod, "going");
		if (mod.exit !== 0) yield* this.#parts.calls.call(mod.exit);
		yield* this.#tell("going", mod);
		yield* this.#parts.klp.klp_module_going(mod);
		// Others find the module with klp_alive false at the wait in free_module(), because klp_init_object() looks at nothing else.
		yield* this.#free_module(mod);
		return 0;
	}

	*#free_module(mod: LoadedModule): Kernel<void> {
		// klp_module_going() has released klp_mutex: who waits for it comes first, and still finds the functions.
		yield `free_module(${mod.name}): before ftrace_release_mod()`;
		yield* this.#parts.ftrace.ftrace_release_mod(mod.image.mcountLocs);
		// find_module() passes it over. Who has found it before, with preemption disabled, has looked at it when the grace period ends.
		this.#setState(mod, "unformed");
		// A handler may still be at a klp_func of the module.
		yield* synchronize_rcu(this.#parts.sched, "free_module: synchronize_rcu");
		yield* this.params.destroy(mod.params);
		this.#parts.ftrace.sites.forget(mod.image.mcountLocs);
		for (const needed of mod.needs) needed.refcount--;
		const regions = [...mod.image.regions];
		this.modules.delete(mod.name);
		this.#parts.kallsyms.remove(mod.image);
		mod.image.unload();
		for (const address of [...mod.owned, mod.address]) this.#parts.heap.kfree(address);
		for (const region of regions) this.#parts.icache.flush_icache_range(region.address, region.length);
		yield `free_module(${mod.name})`;
	}
}
