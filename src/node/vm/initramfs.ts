import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { KlpemuError } from "../../base/index.js";
import { readIfThere } from "../files.js";
import { type CpioEntry, cpio } from "./cpio.js";
import type { BuiltKit } from "./kits.js";

/** What init writes to the kernel's log, which is in order on the console: which kit begins, and the exit status of its run.sh. */
export const MARK = { kit: "KLPVM-KIT", status: "KLPVM-STATUS", end: "KLPVM-END" } as const;

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t tmpfs tmp /tmp
exec </dev/console >/dev/console 2>&1
export KLPKIT_CONSOLE=1
for line in $(cat /kits/list); do
	kit=\${line%%:*}; script=\${line##*:}; folder=\${line#*:}; folder=\${folder%:*}
	echo "${MARK.kit} $kit" > /dev/kmsg
	cd "/kits/$folder"
	/bin/busybox sh "./$script" > /dev/null
	status=$?
	echo "${MARK.status} $kit $status" > /dev/kmsg
	# A module that cannot be unloaded would be in the way of the next kit.
	[ $status = 0 ] || break
done
echo "${MARK.end}" > /dev/kmsg
sleep 0.2
reboot -f
`;

const FOLDERS = ["bin", "dev", "proc", "sys", "tmp", "kits"];

/** busybox, linked statically: there are no libraries in the initramfs. Throws `VM_BUSYBOX`. */
async function busybox(): Promise<Uint8Array> {
	for (const path of ["/bin/busybox", "/usr/bin/busybox", "/usr/lib/busybox/busybox-static"]) {
		const bytes = await readIfThere(path);
		if (bytes !== undefined && !Buffer.from(bytes.buffer, bytes.byteOffset, 4096).includes("/ld-linux")) return bytes;
	}
	throw new KlpemuError("VM_BUSYBOX", "there is no busybox that is linked statically", {
		hint: "apt-get install -y busybox-static",
	});
}

/** The initramfs for some kits, which its init runs in this order. */
export async function initramfs(kits: readonly BuiltKit[]): Promise<Buffer> {
	const entries: CpioEntry[] = FOLDERS.map((path) => ({ path, mode: 0o040755 }));
	entries.push({ path: "dev/console", mode: 0o020600, device: [5, 1] });
	entries.push({ path: "bin/busybox", mode: 0o100755, content: await busybox() });
	entries.push({ path: "init", mode: 0o100755, content: Buffer.from(INIT) });
	const folders = new Map(kits.map(({ folder }, index) => [folder, String(index)]));
	const list = kits.map(({ name, folder, script }) => `${name}:${folders.get(folder)}:${script}\n`).join("");
	entries.push({ path: "kits/list", mode: 0o100644, content: Buffer.from(list) });
	for (const [folder, name] of folders) {
		entries.push({ path: `kits/${name}`, mode: 0o040755 });
		const files = (await readdir(folder)).filter((file) => /\.(ko|sh)$|^klp_task$/.test(file)).sort();
		for (const file of files) {
			const content = (await readIfThere(join(folder, file)))!;
			entries.push({ path: `kits/${name}/${file}`, mode: 0o100755, content });
		}
	}
	return gzipSync(cpio(entries), { level: 1 });
}
