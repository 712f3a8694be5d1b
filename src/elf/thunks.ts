/** Names of the registers in the names of thunks, by register number. */
const REGISTERS = [
	...["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"],
	...["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"],
];
const CALL = 0xe8;
const JMP = 0xe9;
const RET = 0xc3;
const INT3 = 0xcc;
const CS_PREFIX = 0x2e;
const NOPS: readonly (readonly number[])[] = [[], [0x90], [0x66, 0x90], [0x0f, 0x1f, 0x00], [0x0f, 0x1f, 0x40, 0x00]];

/**
 * A thunk of the kernel that compilers call for mitigations (-mfunction-return=thunk-extern, -mindirect-branch=thunk-extern): the
 * register that it goes to, or "return". Undefined for other names.
 */
export function thunkOf(name: string): number | "return" | undefined {
	if (!name.startsWith("__x86_")) return undefined;
	if (name === "__x86_return_thunk") return "return";
	const [, register] = /^__x86_indirect_thunk_(r\w+)$/.exec(name) ?? [];
	const number = register === undefined ? -1 : REGISTERS.indexOf(register);
	return number < 0 ? undefined : number;
}

/** `jmp *%reg` or `call *%reg`. */
function indirect(register: number, call: boolean): number[] {
	const modrm = (call ? 0xd0 : 0xe0) | (register & 7);
	return register < 8 ? [0xff, modrm] : [0x41, 0xff, modrm];
}

/**
 * The instruction that takes the place of a branch to a thunk, as apply_returns() and apply_retpolines() of
 * arch/x86/kernel/alternative.c write it on a processor that needs no mitigation. `before`: up to three bytes in front of the
 * displacement. `back`: the number of these bytes that belong to the instruction. Undefined if the instruction is not a branch.
 */
export function withoutThunk(
	thunk: number | "return",
	before: Uint8Array,
): { readonly back: number; readonly bytes: Uint8Array } | undefined {
	const [last = 0, first = 0, prefix] = before.toReversed();
	const jcc = first === 0x0f && (last & 0xf0) === 0x80;
	if (last !== CALL && last !== JMP && !jcc) return undefined;
	// -mindirect-branch-cs-prefix makes branches to the thunks of r8 to r15 one byte longer.
	const prefixed = (jcc ? prefix : first) === CS_PREFIX && thunk !== "return" && thunk >= 8;
	const back = (jcc ? 2 : 1) + (prefixed ? 1 : 0);
	const length = back + 4;
	if (thunk === "return" && last === CALL) return undefined;
	// A conditional branch: the opposite condition jumps over the branch.
	const bytes = jcc ? [0x70 | ((last & 0xf) ^ 1), length - 2] : [];
	if (thunk === "return") bytes.push(RET);
	else bytes.push(...indirect(thunk, last === CALL));
	if (thunk === "return" && !jcc) while (bytes.length < length) bytes.push(INT3);
	// int3 behind a jump stops processors that guess what lies there. A call returns to the nop behind it.
	else if (last !== CALL && bytes.length < length) bytes.push(INT3);
	return { back, bytes: Uint8Array.of(...bytes, ...NOPS[length - bytes.length]!) };
}
