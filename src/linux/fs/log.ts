import { type Dmesg, EACCES, EINVAL, KERN, type Kernel } from "../lib/index.js";
import type { Mount } from "./files.js";

/** A single file that can only be written. The labels are those that its two functions yield. */
function mountSink(at: string, labels: { read: string; write: string }, store: (value: string) => number): Mount {
	const file = {
		mode: 0o200,
		*read(): Kernel<number> {
			yield labels.read;
			return -EACCES;
		},
		*write(value: string): Kernel<number> {
			yield labels.write;
			return store(value);
		},
	};
	return { paths: () => [at], open: (path) => (path === at ? file : undefined) };
}

/** /dev/kmsg: lines for dmesg. */
export function mountKmsg(dmesg: Dmesg): Mount {
	return mountSink("/dev/kmsg", { read: "devkmsg_read", write: "devkmsg_write" }, (value) => {
		for (const line of value.replace(/\n$/, "").split("\n")) dmesg.print(KERN.NOTICE, line);
		return 0;
	});
}

/**
 * All debug messages are on. `func NAME -p` switches those of one function off, `+p` on again. The file cannot be read.
 */
export function mountDynamicDebug(dmesg: Dmesg): Mount {
	const labels = { read: "ddebug_proc_read", write: "ddebug_proc_write" };
	return mountSink("/sys/kernel/debug/dynamic_debug/control", labels, (value) => {
		const [, func, flag] = /^func (\w+) ([-+])p\n?$/.exec(value) ?? [];
		if (func === undefined) return -EINVAL;
		if (flag === "-") dmesg.debugOff.add(func);
		else dmesg.debugOff.delete(func);
		return 0;
	});
}
