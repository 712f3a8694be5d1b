/** Code that runs once: the first klp_enable_patch() of the kernel's own livepatch code, compiled. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { benchMachine, enable, KERNEL, kernelCore } from "../common/index.js";

const CPUS = ["jit", "unicorn"] as const;

/** Milliseconds of processor time in Cpu.run(), with the kernel functions that it calls: the fastest process of each Cpu. */
export type ColdResult = Record<(typeof CPUS)[number], number>;

/** Each Cpu in so many processes of its own, in turn; undefined if there is no core. */
export async function coldEnable(processes: number): Promise<ColdResult | undefined> {
	if ((await kernelCore()) === undefined) return undefined;
	const fastest = { jit: Number.POSITIVE_INFINITY, unicorn: Number.POSITIVE_INFINITY };
	for (let i = 0; i < processes; i++) {
		for (const cpu of CPUS) {
			const args = [...process.execArgv, fileURLToPath(import.meta.url), cpu];
			const { stdout } = await promisify(execFile)(process.execPath, args);
			fastest[cpu] = Math.min(fastest[cpu], Number(stdout));
		}
	}
	return fastest;
}

/** What the process of one Cpu measures. */
async function measure(name: string): Promise<number> {
	const machine = await benchMachine("calls.c", { design: KERNEL, cpu: name });
	const { cpu } = machine;
	const run = cpu.run.bind(cpu);
	let took = 0;
	let depth = 0;
	cpu.run = (budget) => {
		const start = process.cpuUsage();
		depth++;
		try {
			return run(budget);
		} finally {
			const { user, system } = process.cpuUsage(start);
			// A gate may run the Cpu.
			if (--depth === 0) took += (user + system) / 1000;
		}
	};
	const refused = enable(machine, "lp", { funcs: [["traced", "lp_first"]] });
	if (refused !== undefined) throw new Error(refused);
	machine.close();
	return took;
}

const [, script, cpu] = process.argv;
if (script === fileURLToPath(import.meta.url) && cpu !== undefined) console.log(await measure(cpu));
