const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const SHT_RELA = 4;
const SHF_RELA_LIVEPATCH = 0x100000;
/** What parseElf() asks of the name; the kernel asks for the first part only. */
const NAME = /^\.klp\.rela\.[^.]+\../;

/**
 * parseElf() refuses a file that has livepatch relocations in a section of another name. This gives a file without these sections,
 * and their names, so that the rest can be looked at. A file that is damaged elsewhere is given back as it is.
 */
export function withoutMisnamed(bytes: Uint8Array): { bytes: Uint8Array; names: string[] } {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const names: string[] = [];
	if (bytes.length < EHDR_SIZE || bytes[4] !== 2 || view.getUint16(58, true) !== SHDR_SIZE) return { bytes, names };
	const table = Number(view.getBigUint64(40, true));
	const count = view.getUint16(60, true);
	const strings = view.getUint16(62, true);
	if (strings >= count || table + count * SHDR_SIZE > bytes.length) return { bytes, names };
	const namesAt = Number(view.getBigUint64(table + strings * SHDR_SIZE + 24, true));
	let changed = bytes;
	for (let index = 1; index < count; index++) {
		const at = table + index * SHDR_SIZE;
		if (view.getUint32(at + 4, true) !== SHT_RELA) continue;
		if ((view.getUint32(at + 8, true) & SHF_RELA_LIVEPATCH) === 0) continue;
		const start = namesAt + view.getUint32(at, true);
		const end = start < bytes.length ? bytes.indexOf(0, start) : -1;
		const name = end < 0 ? undefined : new TextDecoder("latin1").decode(bytes.subarray(start, end));
		if (name === undefined || NAME.test(name)) continue;
		if (changed === bytes) changed = bytes.slice();
		// SHT_NULL: a section that is not there.
		changed.fill(0, at + 4, at + 8);
		names.push(name);
	}
	return { bytes: changed, names };
}
