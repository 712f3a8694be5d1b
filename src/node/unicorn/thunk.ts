/**
 * The counting hook as native code of the host, x86-64 System V: void hook(uc, address, size, words). It does what
 * `countInstruction` in counter.ts does. 53 bytes, written out because an assembler at start-up costs more than it helps.
 */
const X64 = [
	"48 3b 71 18", //       cmp  rsi, [rcx + 24]      current
	"74 1f", //             je   same
	"48 89 71 18", //       mov  [rcx + 24], rsi
	// count:
	"48 8b 01", //          mov  rax, [rcx]           count
	"48 3b 41 08", //       cmp  rax, [rcx + 8]       limit
	"73 07", //             jae  stop
	"48 ff c0", //          inc  rax
	"48 89 01", //          mov  [rcx], rax
	"c3", //                ret
	// stop:
	"48 c7 41 38 01 00 00 00", // mov qword [rcx + 56], 1   stopped
	"ff 61 10", //          jmp  [rcx + 16]           uc_emu_stop(uc)
	// same:
	"48 3b 71 20", //       cmp  rsi, [rcx + 32]      string
	"74 09", //             je   done
	"48 3b 71 28", //       cmp  rsi, [rcx + 40]      plain
	"74 d9", //             je   count
	"ff 61 30", //          jmp  [rcx + 48]           ask
	// done:
	"c3", //                ret
];

export function thunkCode(): Uint8Array | undefined {
	if (process.arch !== "x64" || process.platform === "win32") return undefined;
	return Uint8Array.from(
		X64.join(" ")
			.split(" ")
			.map((byte) => Number.parseInt(byte, 16)),
	);
}
