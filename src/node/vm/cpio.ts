/** A file, folder (`content` undefined) or device of an archive. */
export interface CpioEntry {
	/** Relative, without a leading slash. */
	readonly path: string;
	/** With the type: 0o100755, 0o040755. */
	readonly mode: number;
	readonly content?: Uint8Array;
	/** Major and minor number of a device. */
	readonly device?: readonly [number, number];
}

/** An archive in the format of an initramfs: cpio, newc (Documentation/driver-api/early-userspace/buffer-format.rst). */
export function cpio(entries: readonly CpioEntry[]): Buffer {
	const trailer: CpioEntry = { path: "TRAILER!!!", mode: 0 };
	return Buffer.concat(
		[...entries, trailer].flatMap((entry, index) => [header(entry, index + 1), padded(entry.content)]),
	);
}

function header({ path, mode, content, device = [0, 0] }: CpioEntry, inode: number): Buffer {
	const links = 1;
	const time = 0;
	const name = Buffer.from(`${path}\0`);
	// inode, mode, uid, gid, links, time, size, device of the archive (2), device (2), length of the name, checksum.
	const fields = [inode, mode, 0, 0, links, time, content?.length ?? 0, 0, 0, ...device, name.length, 0];
	const text = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
	return padded(Buffer.concat([Buffer.from(text), name]));
}

function padded(bytes: Uint8Array = new Uint8Array()): Buffer {
	return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
