import type { LivepatchSysfs } from "../klp/index.js";
import { kstrtobool } from "../klp/index.js";
import { EINVAL, type Kernel } from "../lib/index.js";
import type { CpuHotplug, EmulatedCpu, Sched } from "../sched/index.js";
import { type Mount, mountAt } from "./files.js";

/** /sys/kernel/livepatch */
export function mountLivepatch(sysfs: LivepatchSysfs): Mount {
	return mountAt("/sys/kernel/livepatch/", {
		paths: () => sysfs.paths(),
		mode: (path) => sysfs.mode(path),
		*read(path) {
			yield "sysfs_kf_read";
			if (sysfs.show !== undefined) return yield* sysfs.show(path);
			const text = sysfs.read(path);
			return typeof text === "number" ? text : `${text}\n`;
		},
		write: (path, value) => sysfs.write(path, value),
	});
}

const CPU = "/sys/devices/system/cpu";

/** The online CPUs. Each CPU but the first can be taken down and brought up (drivers/base/cpu.c). */
export function mountCpus(sched: Sched, hotplug: CpuHotplug): Mount {
	const list = `${CPU}/online`;
	const file = (id: number) => `${CPU}/cpu${id}/online`;
	return {
		paths: () => [list, ...sched.cpus.slice(1).map(({ id }) => file(id))],
		open(path) {
			if (path === list) return { mode: 0o444, read: () => showOnline(sched), write: refuse };
			const cpu = sched.cpus.slice(1).find(({ id }) => path === file(id));
			if (cpu === undefined) return undefined;
			return { mode: 0o644, read: () => show(cpu), write: (value) => store(hotplug, cpu, value) };
		},
	};
}

function* showOnline(sched: Sched): Kernel<string> {
	yield "dev_attr_show";
	return `${ranges(sched.cpus.flatMap(({ id, online }) => (online ? [id] : [])))}\n`;
}

function* show(cpu: EmulatedCpu): Kernel<string> {
	yield "dev_attr_show";
	return `${Number(cpu.online)}\n`;
}

function* store(hotplug: CpuHotplug, { id }: EmulatedCpu, value: string): Kernel<number> {
	const online = kstrtobool(value);
	if (online === undefined) return -EINVAL;
	return yield* online ? hotplug.cpu_up(id) : hotplug.cpu_down(id);
}

/** Never called: the mode allows no process to write. */
// biome-ignore lint/correctness/useYield: kernel code in one step
function* refuse(): Kernel<number> {
	return -EINVAL;
}

/** `0-1,3`: numbers in ascending order, as the kernel prints a bitmap (%*pbl). */
function ranges(numbers: readonly number[]): string {
	const runs: [number, number][] = [];
	for (const number of numbers) {
		const last = runs.at(-1);
		if (last !== undefined && last[1] === number - 1) last[1] = number;
		else runs.push([number, number]);
	}
	return runs.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(",");
}
