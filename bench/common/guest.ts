/** Machines to measure: a source of bench/guest as vmlinux. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { findDesign } from "../../src/designs/index.js";
import { parseElf } from "../../src/elf/index.js";
import { type FieldValues, klp_func, klp_object, klp_patch, type module } from "../../src/linux/klp/index.js";
import { type KernelCore, parseKernelCore } from "../../src/linux/klp-c/index.js";
import { errnoName } from "../../src/linux/lib/index.js";
import { boot, type Machine } from "../../src/machine/index.js";
import {
	compile,
	createCpu,
	engineImage,
	type ObjectOptions,
	PROJECT,
	sourceKey,
	writeInFolder,
} from "../../src/node/index.js";

/** As Debian's kernels: a transition is retried every 250 rounds. */
const HZ = 250;

/** Compiled objects, kept for the next process; the name is a key of all that they depend on. */
const CACHE = join(PROJECT, ".cache", "bench");

/** In place of a design: mainline, as the kernel's own livepatch code; see {@link kernelCore}. */
export const KERNEL = "kernel";

/** Environment variable with the file of --core, also for processes that measure. */
const CORE_VARIABLE = "KLPEMU_BENCH_CORE";

/** The kernel core to measure: that of {@link chooseCore}, or the file that `npm run build:kernel-core` makes. */
export function coreFile(): string {
	return process.env[CORE_VARIABLE] ?? join(PROJECT, ".cache", "linux-6.12.klpcore");
}

/** From now on the kernel core of this and of further processes is that file. */
export function chooseCore(file: string): void {
	process.env[CORE_VARIABLE] = resolve(file);
}

/** That file; undefined if there is none. Throws what parseKernelCore() throws. */
export async function kernelCore(): Promise<KernelCore | undefined> {
	const file = coreFile();
	const bytes = await readFile(file).catch(() => undefined);
	return bytes === undefined ? undefined : parseKernelCore(new Uint8Array(bytes), file);
}

async function objectOf(source: string, options: ObjectOptions): Promise<Uint8Array> {
	const path = join(PROJECT, "bench/guest", source);
	const file = join(CACHE, `${source}-${await sourceKey(path, options)}.o`);
	const cached = await readFile(file).catch(() => undefined);
	if (cached !== undefined) return cached;
	const { bytes } = await compile(path, options);
	await writeInFolder(file, bytes);
	return bytes;
}

export interface BenchMachineOptions {
	readonly design: string;
	readonly cpu: string;
	readonly cpus?: number;
	/** Rounds a second; default 250. */
	readonly hz?: number;
	readonly memoryBytes?: number;
}

/** A machine whose kernel is bench/guest/`source`. */
export async function benchMachine(source: string, options: BenchMachineOptions): Promise<Machine> {
	const core = options.design === KERNEL ? await kernelCore() : undefined;
	if (options.design === KERNEL && core === undefined) throw new Error("there is no core: npm run build:kernel-core");
	// Functions of a kernel that has such a core begin with endbr64.
	const ibt = core?.info.config.CONFIG_X86_KERNEL_IBT === "y";
	return boot({
		design: findDesign(core === undefined ? options.design : "mainline"),
		...(core && { core }),
		createCpu: (memory) => createCpu(options.cpu, memory),
		vmlinux: [parseElf(await objectOf(source, { ibt }), source)],
		image: await engineImage(),
		cpus: options.cpus ?? 1,
		seed: 1,
		hz: options.hz ?? HZ,
		preemption: "full",
		memoryBytes: options.memoryBytes ?? 8 << 20,
	});
}

/** A livepatch of vmlinux with functions of vmlinux. */
export interface TestPatch {
	/** Of replace designs. */
	readonly fields?: FieldValues;
	/** Old function, new function. */
	readonly funcs: readonly (readonly [string, string])[];
}

function patchOf(machine: Machine, { funcs, fields }: TestPatch): (mod: module) => klp_patch {
	const func = ([old_name, new_name]: readonly [string, string]) => {
		const new_func = machine.vmlinux.symbol(new_name)!.address;
		// For designs in which each function must allow to be replaced.
		return new klp_func({ old_name, new_name, new_func, fields: { replaceable: true } });
	};
	return (mod) => new klp_patch({ mod, objs: [new klp_object({ name: undefined, funcs: funcs.map(func) })], fields });
}

/** insmod of a livepatch; `undefined`, or the reason why it was refused. */
export function enable(machine: Machine, name: string, patch: TestPatch): string | undefined {
	const ret = machine.shell.insmod(name, [], { patchOf: patchOf(machine, patch) });
	return ret === 0 ? undefined : `insmod gives ${errnoName(ret)}`;
}
