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

/** The words that the native code of the hook of accesses is given. */
export const SHADOW_WORDS = {
	/** Address of the bits of the shadow on the host. */
	bits: 0,
	/** Guest address of the first byte. */
	base: 1,
	/** Address of the function that is called for a forbidden access, with the same arguments. */
	callback: 2,
} as const;

/** The hook of accesses: void hook(uc, type, address, size, value, words). It looks at the bits of all bytes at once. */
const FORBIDDEN = [
	"49 89 d2", //          mov  r10, rdx
	"4d 2b 51 08", //       sub  r10, [r9 + 8]        base
	"4c 89 d0", //          mov  rax, r10
	"48 c1 e8 03", //       shr  rax, 3
	"49 03 01", //          add  rax, [r9]            bits
	"48 8b 00", //          mov  rax, [rax]
	"49 89 cb", //          mov  r11, rcx             size
	"44 89 d1", //          mov  ecx, r10d
	"83 e1 07", //          and  ecx, 7
	"48 d3 e8", //          shr  rax, cl
	"48 f7 d0", //          not  rax
	"44 89 d9", //          mov  ecx, r11d
	"f7 d9", //             neg  ecx                  shifts go by 64 - size
	"48 d3 e0", //          shl  rax, cl
	"4c 89 d9", //          mov  rcx, r11
	"48 85 c0", //          test rax, rax
	"75 01", //             jne  call
	"c3", //                ret
	// call:
	"41 ff 61 10", //       jmp  [r9 + 16]            callback
];

/** Where the parts of {@link thunkCode} begin, in bytes. */
export const THUNK = { counter: 0, forbidden: 64 } as const;

export function thunkCode(): Uint8Array | undefined {
	if (process.arch !== "x64" || process.platform === "win32") return undefined;
	const code = new Uint8Array(128);
	for (const [at, lines] of [
		[THUNK.counter, X64],
		[THUNK.forbidden, FORBIDDEN],
	] as const) {
		const bytes = lines.join(" ").split(" ");
		code.set(
			bytes.map((byte) => Number.parseInt(byte, 16)),
			at,
		);
	}
	return code;
}
