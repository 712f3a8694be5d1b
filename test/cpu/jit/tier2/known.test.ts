/** Programs on which the second tier would go wrong if it took too much for known about registers and memory. */
import { expect, test } from "vitest";
import { assemble } from "../../../../src/assemble/index.js";
import { R9, RAX, RBX, RCX, RDI, RDX, RIP, RSI, RSP } from "../../../../src/cpu/index.js";
import { JitCpu } from "../../../../src/cpu/jit/index.js";
import { type Kaddr, Memory, PERM } from "../../../../src/memory/index.js";
import { loadKeystone } from "../../../../src/node/index.js";

const keystone = await loadKeystone();
const CODE: Kaddr = -0x7f000000;
const DATA: Kaddr = -0x7e000000;
const STACK: Kaddr = DATA + 0x1f00;

/** The first tier alone, and with the second, on the same program. */
function tiers(source: string): [JitCpu, JitCpu] {
	const { bytes } = assemble(keystone, source, "hot.test.S", CODE, {});
	const make = (warm: number): JitCpu => {
		const cpu = new JitCpu(new Memory({ bytes: 1 << 20 }), { heat: { warm, recording: 200 } });
		cpu.memory.map("code", CODE, 0x1000, PERM.READ | PERM.EXEC);
		cpu.memory.map("data", DATA, 0x2000, PERM.READ | PERM.WRITE);
		cpu.memory.write(CODE, bytes);
		cpu.textChanged(CODE, bytes.length);
		cpu.state.setKaddr(RIP, CODE);
		cpu.state.setKaddr(RSP, STACK);
		return cpu;
	};
	return [make(Number.POSITIVE_INFINITY), make(300)];
}

/** Runs both in slices, and compares them after each. */
function compare([first, second]: [JitCpu, JitCpu], slices: readonly number[]): void {
	for (const slice of slices) {
		const [{ kind, executed }, stop] = [first.run(slice), second.run(slice)];
		expect(stop).toMatchObject({ kind, executed });
		expect([...second.state.words]).toEqual([...first.state.words]);
		expect(Buffer.compare(second.memory.read(DATA, 0x2000), first.memory.read(DATA, 0x2000))).toBe(0);
	}
	expect(second.statistics.hot).toBeGreaterThan(0);
}

const LONG = Array(50).fill(997);
const ALL_LENGTHS = Array.from({ length: 400 }, (_, n) => n + 1);

test("a stored register is not loaded from an address that another pointer has written since", () => {
	const cpus = tiers(`
start:	incq %rax
	movq %rax, (%rsi)
	movq (%rdi), %r8
	movq %rbx, 8(%rdi)
	decq %rcx
	jz out
	jmp start
out:	movl $1000, %ecx
	jmp start`);
	for (const { state } of cpus) {
		state.setKaddr(RSI, DATA + 8);
		state.setKaddr(RDI, DATA);
		state.words[RCX] = 1000n;
	}
	compare(cpus, LONG);
});

test("no register is loaded from memory if a loop is entered that cannot begin", () => {
	const cpus = tiers(`
start:	movq %rbx, (%rdx)
	incq %rax
	movq %rax, (%rsi)
	jmp start`);
	for (const { state } of cpus) {
		state.setKaddr(RSI, DATA);
		state.setKaddr(RDX, DATA + 0x1000);
	}
	compare(cpus, LONG);
	for (const { state } of cpus) {
		state.setKaddr(RDX, CODE);
		state.words[RAX] = 42n;
		state.setKaddr(RIP, CODE);
	}
	compare(cpus, [100]);
	expect(cpus[1].state.words[RAX]).toBe(42n);
});

test("a register stored in front of a loop is not loaded from there in its second round", () => {
	// Too long to be unrolled; two rounds now and then, so that the outer loop is the busier one.
	const cpus = tiers(`
start:	movq %rax, (%rsi)
	movl %eax, %ecx
	andl $7, %ecx
	cmpl $1, %ecx
	sbbl %ecx, %ecx
	negl %ecx
	incl %ecx
inner:	${"incq %rax\n".repeat(25)}
	decl %ecx
	jnz inner
	jmp start`);
	for (const { state } of cpus) state.setKaddr(RSI, DATA);
	compare(cpus, [...LONG, ...ALL_LENGTHS]);
});

test("two registers are not equal if an instruction only may have copied one to the other", () => {
	// Not equal: rax becomes rbx, and rbx remains what it is.
	const cpus = tiers(`
start:	xorl %eax, %eax
	cmpxchgq %rcx, %rbx
	movq %rsi, (%rcx)
	movq %rdi, (%rbx)
	addq (%rcx), %r8
	incq %rsi
	decq %rdi
	jmp start`);
	for (const { state } of cpus) {
		state.setKaddr(RBX, DATA);
		state.setKaddr(RCX, DATA + 0x100);
	}
	compare(cpus, LONG);
});

test("a stored register is not loaded from an address that a gate has written since", () => {
	const cpus = tiers(`
start:	incq %rax
	movq %rax, -24(%rsp)
	call gate
	jmp start
gate:	nop
	ret`);
	const gate = CODE + 15;
	for (const cpu of cpus) {
		cpu.state.setKaddr(RSI, STACK - 24);
		let calls = 0;
		const call = (_rdi: number, rsi: number): boolean => {
			cpu.memory.setU32(rsi, 7);
			return ++calls % 1000 === 0;
		};
		cpu.addGate(gate, { name: "gate", passes: "args", call });
	}
	compare(cpus, Array(30).fill(9999));
	expect(cpus[1].state.words[RAX]).toBeGreaterThan(10_000n);
});

test("values behind an inner loop are not taken for values in front of it", () => {
	const cpus = tiers(`
start:	movq (%rsi), %rax
	movq 8(%rsi), %rbx
	movq 16(%rsi), %rdx
	movq 24(%rsi), %r8
	movq 32(%rsi), %r9
	movq 40(%rsi), %r10
	incq %r11
	testq $7, %r11
	jz inner
	imulq $3, %r11, %r12
	movq %rax, (%rdi)
	movq %rbx, 8(%rdi)
	movq %rdx, 16(%rdi)
	movq %r8, 24(%rdi)
	movq %r9, 32(%rdi)
	movq %r10, 40(%rdi)
	cmpq $4001, %r11
	je rare
	jmp start
rare:	addq %r12, %r13
	xorl %r11d, %r11d
	jmp start
inner:	decq %rcx
	jnz inner
	movl $5, %ecx
	jmp start`);
	for (const { state } of cpus) {
		state.setKaddr(RSI, DATA);
		state.setKaddr(RDI, DATA + 0x1000);
		state.words[RCX] = 5n;
	}
	compare(cpus, Array(20).fill(9973));
});

test("an indirect call to four targets in turn, one more than are translated", () => {
	const cpus = tiers(`
start:	addq $16, %rcx
	andq $63, %rcx
	leaq (%rdi,%rcx), %rdx
	call *%rdx
	addq (%r9), %r8
	jmp start
	.balign 64
f:	incq %rax
	ret
	.balign 16
	addq $3, %rbx
	ret
	.balign 16
	pushq %rax
	popq %rsi
	ret
	.balign 16
	addq $5, %r8
	ret`);
	for (const { state } of cpus) {
		state.setKaddr(RDI, CODE + 64);
		// Where rax is pushed.
		state.setKaddr(R9, STACK - 16);
	}
	compare(cpus, [...LONG, ...ALL_LENGTHS]);
	expect(cpus[1].state.words[RAX]).toBeGreaterThan(1000n);
});

// The recorder takes the place where the first two ways meet for the beginning of the loop.
const BEGIN = `
start:	incq %rax
	testb $1, %al
	jz even
	incq %r11
	jmp root
even:	decq %r12
root:`;

test("where ways meet, a register has the value of none of them", () => {
	const cpus = tiers(`${BEGIN}
	movq %rdi, %rsi
	addq 32(%rdi), %rcx
	testb $2, %al
	jz both
	leaq 24(%rdi), %rsi
	movq %rax, (%rdi)
both:	addq (%rsi), %rbx
	movq %rbx, 16(%rsi)
	jmp start`);
	for (const { state } of cpus) state.setKaddr(RDI, DATA);
	compare(cpus, [...LONG, ...ALL_LENGTHS]);
});

test("where ways meet, a page is not checked that only one of them has checked", () => {
	const cpus = tiers(`${BEGIN}
	movq %rdi, %rdx
	testb $2, %al
	jz both
	addq (%rdx), %rbx
	movq %rsi, %rdx
both:	movq %rax, 8(%rdx)
	jmp start`);
	for (const { state } of cpus) {
		state.setKaddr(RDI, DATA);
		state.setKaddr(RSI, DATA + 0x1ff0);
	}
	compare(cpus, [...LONG, ...ALL_LENGTHS]);
});

test("where ways meet, the flags are those of the way that was taken", () => {
	const cpus = tiers(`${BEGIN}
	movl %eax, %edx
	andl $2, %edx
	cmpl $1, %edx
	jc both
	addq $-3, %rdx
both:	setc %bl
	setg %bh
	sbbq %r8, %r9
	jmp start`);
	compare(cpus, [...LONG, ...ALL_LENGTHS]);
});

test("ways that meet behind an inner loop know nothing of each other", () => {
	const cpus = tiers(`${BEGIN}
	movl %eax, %ecx
	movq %rax, (%rdi)
	andl $3, %ecx
	jz both
inner:	addq $8, %rdi
	addq %rcx, %rbx
	${"incq %r8\n".repeat(25)}
	decl %ecx
	jnz inner
both:	movq %rbx, 8(%rdi)
	sbbq %r10, %r9
	andl $0x7ff, %edi
	addq %rsi, %rdi
	jmp start`);
	for (const { state } of cpus) {
		state.setKaddr(RSI, DATA);
		state.setKaddr(RDI, DATA);
	}
	compare(cpus, [...LONG, ...ALL_LENGTHS]);
});

test("a register is set by bytes, by halves and as a whole, in turn", () => {
	const cpus = tiers(`
start:	setnz %al
	incb %al
	addb %al, %bl
	movb %ah, %bh
	addb $7, %bl
	movw %bx, %dx
	incb %dl
	jns skip
	movb $3, %bl
	shlq $1, %rdx
skip:	addb %bl, %dl
	movzbl %bl, %esi
	addq %rdx, %r9
	addl %esi, %eax
	decb %cl
	jmp start`);
	for (const { state } of cpus) {
		state.words[RAX] = 0x1122334455667788n;
		state.words[RBX] = 0x8877665544332211n;
		state.words[RDX] = 0xfedcba9876543210n;
		state.words[RCX] = 0x0123456789abcdefn;
	}
	compare(cpus, ALL_LENGTHS);
});

/** So many pages, each found through other registers. */
function manyPages(count: number): string {
	const bases = ["rax", "rbx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13"];
	const loads = Array.from({ length: count }, (_, n) => {
		const [base, more] = [bases[n % bases.length], Math.floor(n / bases.length)];
		const place = `(%${base}, %${more > 3 ? "rcx" : "r14"}, ${1 << (more & 3)})`;
		return n % 6 === 0 ? `incl ${place}` : `addq ${place}, %r15`;
	});
	return `start:\n\t${loads.join("\n\t")}\n\tjmp start`;
}

test.each([60, 96])("a loop finds %i pages through as many pairs of registers, more than there are slots", (count) => {
	const cpus = tiers(manyPages(count));
	for (const { state } of cpus) {
		for (const reg of [RAX, RBX, RDX, RSI, RDI, 5, 8, R9, 10, 11, 12, 13]) state.setKaddr(reg, DATA + 256 * reg);
		state.words[RCX] = 0x180n;
		state.words[14] = 0x11fn;
	}
	// Each slice begins at the head of the loop.
	compare(cpus, Array(50).fill(10 * (count + 1)));
});
