/** The emulated side of the benchmark: guest.c's object in a machine, its traced function livepatched for real. */
import { join } from "node:path";
import { RAX, RDI, RSP } from "../../src/cpu/index.js";
import { findDesign } from "../../src/designs/index.js";
import { parseElf } from "../../src/elf/index.js";
import { klp_func, klp_object, klp_patch } from "../../src/linux/klp/index.js";
import type { LoadedModule } from "../../src/linux/module/index.js";
import { boot, type Machine } from "../../src/machine/index.js";
import { type Kaddr, PAGE_SIZE, PERM, toU64 } from "../../src/memory/index.js";
import { compile, createCpu, engineImage, PROJECT } from "../../src/node/index.js";
import type { Rows } from "./native.js";

const STACK: Kaddr = -0x8_0000;
/** As in native.c. */
const CHECK = 16;

/** The rows, with the guest function that each runs; "redirect" is that of the livepatched machine. */
export const ROWS = [
	["loop", "bench_loop"],
	["call", "bench_call"],
	["redirect", "bench_call"],
	["crc", "bench_crc"],
	["sort", "bench_sort"],
	["siphash", "bench_siphash"],
	["memcpy", "bench_memcpy"],
] as const;

export class Emulated {
	readonly cpu: string;
	readonly #machine: Machine;
	readonly #patched: boolean;
	/** Guest instructions of one unit of each row, exact up to the call itself. */
	readonly instructions = new Map<string, number>();

	private constructor(cpu: string, machine: Machine, patched: boolean) {
		this.cpu = cpu;
		this.#machine = machine;
		this.#patched = patched;
	}

	/** A machine that is livepatched, for the row "redirect"; or one that is not, for all others. */
	static async create(cpu: string, patched: boolean): Promise<Emulated> {
		const machine = await machineOn(cpu);
		if (patched) enable(machine);
		return new Emulated(cpu, machine, patched);
	}

	/** Runs its rows, each for about the given number of milliseconds. */
	rows(milliseconds: number): Rows {
		return new Map(
			ROWS.filter(([row]) => (row === "redirect") === this.#patched).map(([row, func]) => {
				let units = 1;
				let took = 0;
				for (; took < milliseconds * 1e6; units *= 2) {
					const start = process.hrtime.bigint();
					this.#call(func, units);
					took = Number(process.hrtime.bigint() - start);
				}
				const { result, executed } = this.#call(func, CHECK);
				this.instructions.set(row, executed / CHECK);
				return [row, { ns: took / (units / 2), result }];
			}),
		);
	}

	#call(name: string, units: number): { result: bigint; executed: number } {
		const { cpu, memory, vmlinux } = this.#machine;
		const done = vmlinux.symbol("bench_done")!.address;
		const sp = STACK + 8 * PAGE_SIZE - 8;
		memory.setKaddr(sp, done);
		cpu.state.rip = toU64(vmlinux.symbol(name)!.address);
		cpu.state.words[RDI] = BigInt(units);
		cpu.state.setKaddr(RSP, sp);
		const stop = cpu.run(Number.POSITIVE_INFINITY);
		if (stop.kind !== "breakpoint") throw new Error(`${name} on ${this.cpu} ends with ${JSON.stringify(stop)}`);
		return { result: BigInt.asIntN(64, cpu.state.words[RAX]!), executed: stop.executed };
	}
}

async function machineOn(cpu: string): Promise<Machine> {
	const { bytes } = await compile(join(PROJECT, "bench/cpu/guest.c"), {});
	const machine = await boot({
		design: findDesign("mainline"),
		createCpu: (memory) => createCpu(cpu, memory),
		vmlinux: [parseElf(bytes, "guest.c")],
		image: await engineImage(),
		cpus: 1,
		seed: 1,
		hz: 250,
		preemption: "full",
		memoryBytes: 16 << 20,
	});
	machine.memory.map("bench stack", STACK, 8 * PAGE_SIZE, PERM.READ | PERM.WRITE);
	machine.cpu.addBreakpoint(toU64(machine.vmlinux.symbol("bench_done")!.address));
	return machine;
}

/** Livepatches traced() with lp_traced(), and waits for the transition. */
function enable(machine: Machine): void {
	const patchOf = (mod: LoadedModule) => {
		const new_func = machine.vmlinux.symbol("lp_traced")!.address;
		const func = new klp_func({ old_name: "traced", new_name: "lp_traced", new_func });
		return new klp_patch({ mod, objs: [new klp_object({ name: undefined, funcs: [func] })] });
	};
	const ret = machine.shell.insmod("bench_lp", [], { patchOf });
	if (ret !== 0 || !machine.settle(10_000)) throw new Error(`the livepatch cannot be enabled (${ret})`);
}
