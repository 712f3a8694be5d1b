/** SPIN on a model of ours with as many states, on the same machine in the same minutes. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const MODEL = resolve("bench/explore/transition.pml");

export interface SpinRow {
	readonly flags: string;
	readonly states: number;
	readonly transitions: number;
	readonly cpuSeconds: number;
	readonly statesPerCpuSecond: number;
	/** Of a state with its place in the table; without the table's empty places and the stack. */
	readonly bytesPerState: number;
}

/** The size of the model: (steps + 1) * places * places states. */
interface SpinModel {
	readonly steps: number;
	readonly places: number;
}

/** Undefined: SPIN, or the compiler that it needs, is not installed. */
export function measureSpin({ steps, places }: SpinModel): readonly SpinRow[] | undefined {
	if (spawnSync("spin", ["-V"]).error !== undefined || spawnSync("gcc", ["--version"]).error !== undefined)
		return undefined;
	const folder = mkdtempSync(join(tmpdir(), "klpemu-spin-"));
	try {
		run(folder, "spin", "-a", `-DSTEPS=${steps}`, `-DPLACES=${places}`, MODEL);
		return ["", "-DCOLLAPSE"].map((more) => measure(folder, more));
	} finally {
		rmSync(folder, { recursive: true });
	}
}

function measure(folder: string, more: string): SpinRow {
	const flags = `-O2 -DSAFETY -DNOREDUCE ${more}`.trim();
	run(folder, "gcc", ...flags.split(" "), "-o", "pan", "pan.c");
	// The shell's time, because Node does not tell the CPU time of a child.
	const text = run(folder, "bash", "-c", "TIMEFORMAT='cpu %U %S'; time ./pan -m2000000 -w22 2>&1");
	const number = (pattern: RegExp) => {
		const found = pattern.exec(text)?.[1];
		if (found === undefined) throw new Error(`SPIN's output does not say ${pattern}:\n${text}`);
		return Number(found);
	};
	const states = number(/(\d+) states, stored/);
	const cpuSeconds = number(/^cpu ([\d.]+) /m) + number(/^cpu [\d.]+ ([\d.]+)/m);
	const bytes = number(/([\d.]+)\s+actual memory usage for states/) * 2 ** 20;
	return {
		flags,
		states,
		transitions: number(/(\d+) transitions/),
		cpuSeconds,
		statesPerCpuSecond: states / cpuSeconds,
		bytesPerState: bytes / states,
	};
}

function run(cwd: string, command: string, ...args: string[]): string {
	const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
	if (status !== 0) throw new Error(`${command} ${args.join(" ")} ends with ${status}:\n${stdout}${stderr}`);
	return `${stdout}${stderr}`;
}
