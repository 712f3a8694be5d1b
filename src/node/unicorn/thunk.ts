/**
 * The counting hook as native code of the host, x86-64 System V: void hook(uc, address, size, words). It does what
 * `countingHook` in counter.ts does. 31 bytes, written out because an assembler at start-up costs more than it helps.
 */
const X64 = [
	"48 89 71 18", //       mov  [rcx + 24], rsi      current
	"48 8b 01", //          mov  rax, [rcx]           count
	"48 3b 41 08", //       cmp  rax, [rcx + 8]       limit
	"73 07", //             jae  stop
	"48 ff c0", //          inc  rax
	"48 89 01", //          mov  [rcx], rax
	"c3", //                ret
	// stop:
	"48 c7 41 20 01 00 00 00", // mov qword [rcx + 32], 1   stopped
	"ff 61 10", //          jmp  [rcx + 16]           uc_emu_stop(uc)
];

export function thunkCode(): Uint8Array | undefined {
	if (process.arch !== "x64" || process.platform === "win32") return undefined;
	return Uint8Array.from(
		X64.join(" ")
			.split(" ")
			.map((byte) => Number.parseInt(byte, 16)),
	);
}
