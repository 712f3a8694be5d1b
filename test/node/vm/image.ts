/** The beginning of a bzImage of this release. */
export function image(release: string): Buffer {
	const bytes = Buffer.alloc(0x800);
	bytes.write("HdrS", 0x202, "latin1");
	bytes.writeUInt16LE(0x300, 0x20e);
	bytes.write(`${release} (someone) #1 SMP\0`, 0x500, "latin1");
	return bytes;
}
