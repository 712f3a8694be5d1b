/** Code that runs once: the first klp_enable_patch() of the kernel's own livepatch code, compiled. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { benchMachine, enable, KERNEL, kernelCore } from "../common/index.js";

const CPUS = ["jit", "unicorn"] as const;
/** V8's optimiser begins as late as in `klpemu run` (optimiseLater() of src/node/cli/main.ts). */
const AS_RUN = process.versions.v8.startsWith("11.") ? ["--interrupt-budget=500000"] : [];

/** Milliseconds of processor time in Cpu.run(), with the kernel functions that it calls: the fastest process of each Cpu. */
export type ColdResult = Record<(typeof CPUS)[number], number> & {
	/**
	 * The whole insmod in the calling thread, which is what a user waits for: V8 makes faster code in other threads. 0 where Linux does not
	 * say it.
	 */
	readonly thread: Record<(typeof CPUS)[number], number>;
};

/** Each Cpu in so many processes of its own, in turn; undefined if there is no core. */
export async function coldEnable(processes: number): Promise<ColdResult | undefined> {
	if ((await kernelCore()) === undefined) return undefined;
	const fastest = { jit: Number.POSITIVE_INFINITY, unicorn: Number.POSITIVE_INFINITY };
	const thread = { ...fastest };
	for (let i = 0; i < processes; i++) {
		for (const cpu of CPUS) {
			const args = [...process.execArgv, ...AS_RUN, fileURLToPath(import.meta.url), cpu];
			const { stdout } = await promisify(execFile)(process.execPath, args);
			const [all = 0, own = 0] = stdout.split(" ").map(Number);
			fastest[cpu] = Math.min(fastest[cpu], all);
			thread[cpu] = Math.min(thread[cpu], own);
		}
	}
	return { ...fastest, thread };
}

/** Milliseconds that this thread has been on a processor. */
function threadTime(): number {
	try {
		return Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[0]) / 1e6;
	} catch {
		return 0;
	}
}

/** What the process of one Cpu measures: of all its threads, and of the first. */
async function measure(name: string): Promise<readonly [all: number, thread: number]> {
	const machine = await benchMachine("calls.c", { design: KERNEL, cpu: name });
	const { cpu } = machine;
	const run = cpu.run.bind(cpu);
	let took = 0;
	let inside = false;
	cpu.run = (budget) => {
		// A gate may run the Cpu.
		if (inside) return run(budget);
		inside = true;
		const start = process.cpuUsage();
		try {
			return run(budget);
		} finally {
			const { user, system } = process.cpuUsage(start);
			took += (user + system) / 1000;
			inside = false;
		}
	};
	const begin = threadTime();
	const refused = enable(machine, "lp", { funcs: [["traced", "lp_first"]] });
	const thread = threadTime() - begin;
	if (refused !== undefined) throw new Error(refused);
	machine.close();
	return [took, thread];
}

const [, script, cpu] = process.argv;
if (script === fileURLToPath(import.meta.url) && cpu !== undefined) console.log((await measure(cpu)).join(" "));
