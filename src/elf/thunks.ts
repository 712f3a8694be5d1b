/** Names of the registers in the names of thunks, by register number. */
const REGISTERS = [
	...["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"],
	...["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"],
];
const INT3 = 0xcc;
const NOPS: readonly (readonly number[])[] = [[], [0x90], [0x66, 0x90], [0x0f, 0x1f, 0x00]];

/**
 * A thunk of the kernel that compilers call for mitigations (-mfunction-return=thunk-extern, -mindirect-branch=thunk-extern): the
 * register that it goes to, or "return". Undefined for other names.
 */
export function thunkOf(name: string): number | "return" | undefined {
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
 * arch/x86/kernel/alternative.c write it on a processor that needs no mitigation. `before`: the two bytes in front of the displacement.
 * `back`: the number of these bytes that belong to the instruction. Undefined if the instruction is not a branch.
 */
export function withoutThunk(
	thunk: number | "return",
	before: readonly [number, number],
): { back: number; bytes: number[] } | undefined {
	const [first, last] = before;
	if (last === 0xe9 || last === 0xe8) {
		const call = last === 0xe8;
		if (thunk === "return") return call ? undefined : { back: 1, bytes: [0xc3, INT3, INT3, INT3, INT3] };
		const bytes = indirect(thunk, call);
		// The bytes behind a jump are never reached; a call returns to them.
		const rest = call ? NOPS[5 - bytes.length]! : Array.from({ length: 5 - bytes.length }, () => INT3);
		return { back: 1, bytes: [...bytes, ...rest] };
	}
	if (first !== 0x0f || (last & 0xf0) !== 0x80) return undefined;
	// A conditional branch: the opposite condition jumps over the branch.
	const bytes = thunk === "return" ? [0xc3] : indirect(thunk, false);
	return { back: 2, bytes: [0x70 | ((last & 0xf) ^ 1), bytes.length, ...bytes, ...NOPS[4 - bytes.length]!] };
}
