/** Machines for tests: asm/vmlinux on a Cpu, and livepatches made of asm/livepatches. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EngineImage } from "../../src/assemble/index.js";
import { findDesign } from "../../src/designs/index.js";
import { type ElfObject, parseElf } from "../../src/elf/index.js";
import { Klp, type klp_callbacks, klp_func, klp_object, klp_patch, type Release } from "../../src/linux/klp/index.js";
import type { KernelCore, KernelLayout } from "../../src/linux/klp-c/index.js";
import type { Kernel, ShouldFail } from "../../src/linux/lib/index.js";
import type { LoadedModule } from "../../src/linux/module/index.js";
import type { Preemption, task_struct } from "../../src/linux/sched/index.js";
import { boot, type Machine } from "../../src/machine/index.js";
import type { Kaddr } from "../../src/memory/index.js";
import { createCpu, engineImage, objectFor, PROJECT } from "../../src/node/index.js";

export interface TestMachineOptions {
	readonly design?: string;
	/** Default: the environment variable KLPEMU_TEST_CPU, else the reference. Every test must hold on every Cpu. */
	readonly cpu?: string;
	readonly seed?: bigint | number;
	readonly cpus?: number;
	readonly hz?: number;
	/** Objects with endbr64. */
	readonly ibt?: boolean;
	/** Adds asm/vmlinux/twin.c. */
	readonly twin?: boolean;
	/** Adds asm/vmlinux/kernel.c: what C modules need. */
	readonly kernel?: boolean;
	/** Default: that of asm/prebuilt. */
	readonly image?: EngineImage;
	/** Default: full. */
	readonly preemption?: Preemption;
	/** Default: that of klpemu. */
	readonly release?: Release;
	/** The kernel whose .ko files can be loaded. */
	readonly kernelLayout?: KernelLayout;
	/** The kernel's own livepatch core. */
	readonly core?: KernelCore;
	/** Fault injection from the very beginning. */
	readonly should_fail?: ShouldFail;
	/** Changes the bytes of funcs.o before they are loaded. */
	readonly edit?: (object: Uint8Array) => void;
}

/** One function of a livepatch: what it replaces, and with what. */
export interface FuncSpec {
	readonly old: string;
	readonly by: string;
	readonly sympos?: number;
}

/** Callbacks that never sleep, as tests write them. */
export interface PlainCallbacks {
	pre_patch?(obj: klp_object): number;
	post_patch?(obj: klp_object): void;
	pre_unpatch?(obj: klp_object): void;
	post_unpatch?(obj: klp_object): void;
}

/** The same as kernel code. */
function kernelCallbacks(plain: PlainCallbacks): klp_callbacks {
	const asKernel = <T>(call: ((obj: klp_object) => T) | undefined) =>
		call &&
		function* (obj: klp_object): Kernel<T> {
			yield "callback";
			return call(obj);
		};
	const pre_patch = asKernel(plain.pre_patch);
	const post_patch = asKernel(plain.post_patch);
	const pre_unpatch = asKernel(plain.pre_unpatch);
	const post_unpatch = asKernel(plain.post_unpatch);
	return {
		...(pre_patch && { pre_patch }),
		...(post_patch && { post_patch }),
		...(pre_unpatch && { pre_unpatch }),
		...(post_unpatch && { post_unpatch }),
	};
}

/** The livepatch core in TypeScript, with all its insides. */
export function coreOf({ klp }: Machine): Klp {
	if (!(klp instanceof Klp)) throw new Error("another core");
	return klp;
}

export interface PatchSpec {
	/** Fields of replace designs. */
	readonly replace?: boolean | number;
	readonly replaceable?: boolean;
	readonly replace_set?: number;
	/** The module's name; default: that of its source. */
	readonly name?: string;
	/** `vmlinux` stands for no name. */
	readonly objects: Readonly<Record<string, readonly FuncSpec[]>>;
	readonly callbacks?: PlainCallbacks;
	readonly states?: klp_patch["states"];
}

const cache = new Map<string, Promise<Uint8Array>>();

/** Bytes of an object of asm/, for example `vmlinux/funcs`. A copy: tests may change it. */
export async function objectBytes(name: string, ibt = false): Promise<Uint8Array> {
	const key = `${name} ${ibt}`;
	const bytes = cache.get(key) ?? objectFor(join(PROJECT, "asm", `${name}.c`), { ibt }).then((file) => file.bytes);
	cache.set(key, bytes);
	return Uint8Array.from(await bytes);
}

/** The livepatch sources there are, loaded once per machine, so that insmod itself need not wait. */
const LIVEPATCHES = ["lp1", "lp2", "lp3", "lp4"] as const;
export type Source = (typeof LIVEPATCHES)[number];

/** A machine with what tests need over and over. */
export class TestMachine {
	readonly it: Machine;
	readonly #sources: ReadonlyMap<string, ElfObject>;

	constructor(machine: Machine, sources: ReadonlyMap<string, ElfObject>) {
		this.it = machine;
		this.#sources = sources;
	}

	get klp(): Klp {
		return coreOf(this.it);
	}
	get ftrace() {
		return this.it.ftrace;
	}

	/** Address of a function of vmlinux or of a loaded module. */
	addr(name: string): Kaddr {
		const images = [this.it.vmlinux, ...[...this.it.modules.values()].map((mod) => mod.image)];
		const symbol = images.map((image) => image.symbol(name)).find((found) => found !== undefined);
		if (symbol === undefined) throw new Error(`no symbol '${name}'`);
		return symbol.address;
	}

	/** The fentry site of a function. */
	site(name: string): Kaddr {
		return this.ftrace.ftrace_location(this.addr(name));
	}

	/** A user task that calls these functions for ever. */
	task(name: string, ...calls: string[]): task_struct {
		return this.it.tasks.add({ name, kthread: false, calls: calls.map((func) => this.addr(func)) });
	}

	kthread(name: string, ...calls: string[]): task_struct {
		return this.it.tasks.add({ name, kthread: true, calls: calls.map((func) => this.addr(func)) });
	}

	/** One call by a task, and its result as a number. */
	call(task: task_struct, func: string): number {
		const result = this.it.tasks.callOnce(task, this.addr(func), 1000);
		if (result === undefined) throw new Error(`${func} does not return`);
		return Number(BigInt.asIntN(64, result));
	}

	object(source: Source): ElfObject {
		return this.#sources.get(source)!;
	}

	/** Loads the objects of a livepatch as an ordinary module. */
	insmodPlain(name: string, source: Source): number {
		return this.it.shell.insmod(name, [this.object(source)]);
	}

	/** Loads a livepatch module. What was made of the spec is in `patch(name)`. */
	insmod(source: Source, spec: PatchSpec): number {
		return this.it.shell.insmod(spec.name ?? source, [this.#sources.get(source)!], {
			patchOf: (mod) => makePatch(spec, mod),
		});
	}

	/** insmod of a livepatch of vmlinux: `["funcA", "lp1_funcA"]`, ... */
	patch(source: Source, ...funcs: readonly [string, string][]): number {
		return this.insmod(source, { objects: { vmlinux: funcs.map(([old, by]) => ({ old, by })) } });
	}

	/** The klp_patch that a loaded module enabled. */
	patchOf(name: string): klp_patch {
		const patch = this.it.modules.get(name)?.patch;
		if (patch === undefined) throw new Error(`no livepatch '${name}'`);
		return patch;
	}

	/** Loads a module in C that {@link compileModule} has made. */
	insmodC(name: string, object: ElfObject, params: Readonly<Record<string, string>> = {}): number {
		return this.it.shell.insmod(name, [object], { params: new Map(Object.entries(params)) });
	}

	settle(): void {
		if (!this.it.settle(2000)) throw new Error("the transition does not end");
	}

	rounds(count: number): void {
		for (let i = 0; i < count; i++) this.it.round();
	}

	/** Runs until the condition holds. */
	until(condition: () => boolean, max = 5000): void {
		for (let i = 0; !condition(); i++) {
			if (i >= max) throw new Error(`not so within ${max} rounds`);
			this.it.round();
		}
	}

	/** Lets a new task run into a function and stop in its body; it holds that function on its stack until `wake`. */
	sleeper(name: string, func: string, ...inside: string[]): task_struct {
		const bodies = [func, ...inside].map((target) => (this.site(target) + 5) | 0);
		const task = this.it.tasks.add({
			name,
			kthread: false,
			calls: [this.addr(func)],
			sleepAt: () => bodies.slice(-1),
		});
		this.until(() => task.held);
		return task;
	}

	/** Names of the func_stack of a function, newest first. */
	func_stack(name: string): string[] {
		const ops = this.klp.patching.klp_find_ops(this.addr(name));
		return ops === undefined ? [] : [...ops.func_stack].map((func) => (func.nop ? "nop" : func.new_name));
	}

	/** The lines of dmesg that hold `word`. */
	dmesg(word = ""): string[] {
		return this.it.dmesg.lines().filter((line) => line.includes(word));
	}

	cat(path: string): string | number {
		return this.it.klp.sysfs.read(path);
	}
	echo(value: string, path: string): number {
		return this.it.shell.write(`/sys/kernel/livepatch/${path}`, value);
	}

	/** All bytes that can be executed, for comparisons. */
	text(): Map<string, string> {
		const regions = this.it.memory.regions.filter(({ perm }) => (perm & 4) !== 0);
		const bytes = ({ address, length }: { address: bigint; length: number }) =>
			Buffer.from(this.it.memory.read(address, length)).toString("base64");
		return new Map(regions.map((region) => [`${region.name} ${region.address}`, bytes(region)]));
	}

	close(): void {
		this.it.close();
	}
}

const compiled = new Map<string, Promise<ElfObject>>();

/** Compiles C text as the module `name`. Once per text. */
export function compileModule(name: string, text: string): Promise<ElfObject> {
	const key = `${name}\n${text}`;
	const object = compiled.get(key) ?? compileText(name, text);
	compiled.set(key, object);
	return object;
}

async function compileText(name: string, text: string): Promise<ElfObject> {
	const folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
	try {
		const path = join(folder, `${name}.c`);
		await writeFile(path, text);
		return parseElf((await objectFor(path)).bytes, `${name}.o`);
	} finally {
		await rm(folder, { recursive: true });
	}
}

/** A klp_patch as a livepatch module's init would hand it in. */
export function makePatch(spec: PatchSpec, mod: LoadedModule): klp_patch {
	const { objects, callbacks, states, name: _name, ...fields } = spec;
	const objs = Object.entries(objects).map(
		([name, funcs]) =>
			new klp_object({
				name: name === "vmlinux" ? undefined : name,
				funcs: funcs.map(
					({ old, by, sympos }) =>
						new klp_func({
							old_name: old,
							new_name: by,
							new_func: mod.image.symbol(by)?.address ?? 0,
							old_sympos: sympos ?? 0,
						}),
				),
				...(callbacks && { callbacks: kernelCallbacks(callbacks) }),
			}),
	);
	return new klp_patch({ mod, objs, ...(states && { states }), fields });
}

export async function createTestMachine(options: TestMachineOptions = {}): Promise<TestMachine> {
	const { ibt = false } = options;
	const funcs = await objectBytes("vmlinux/funcs", ibt);
	options.edit?.(funcs);
	const vmlinux = [parseElf(funcs, "funcs.o")];
	if (options.twin) vmlinux.push(parseElf(await objectBytes("vmlinux/twin", ibt), "twin.o"));
	if (options.kernel) vmlinux.push(parseElf(await objectBytes("vmlinux/kernel", ibt), "kernel.o"));
	const machine = await boot({
		design: findDesign(options.design ?? "mainline"),
		createCpu: (memory) => createCpu(options.cpu ?? process.env.KLPEMU_TEST_CPU ?? "unicorn", memory),
		vmlinux,
		image: options.image ?? (await engineImage()),
		cpus: options.cpus ?? 1,
		seed: options.seed ?? 1,
		hz: options.hz ?? 10,
		// Tests bring tasks to exact places in the kernel, and take them off the CPU there.
		preemption: options.preemption ?? "full",
		memoryBytes: 4 << 20,
		kernelLayout: options.kernelLayout,
		...(options.core && { core: options.core }),
		...(options.release && { release: options.release }),
		...(options.should_fail && { should_fail: options.should_fail }),
	});
	const sources = new Map<string, ElfObject>();
	for (const name of LIVEPATCHES) {
		sources.set(name, parseElf(await objectBytes(`livepatches/${name}`, ibt), `${name}.o`));
	}
	return new TestMachine(machine, sources);
}

const WEIGHTS = [3, 1, 4, 1, 5, 9, 2, 6];

/** What the C functions of asm/ compute. */
export const meaning = {
	weigh: (x: number) => WEIGHTS.reduce((sum, weight, bit) => (x & (1 << bit) ? sum + weight : sum), 0),
	funcA: (x: number, base = 100) => 1000 * x + base + meaning.weigh(x),
	/** `last`: the argument of the last call of the kernel's funcA. */
	funcB: (x: number, last: number) => 1000 * x + 200 + meaning.weigh(x ^ last),
};
