/**
 * Instructions that are not emulated, by name, so that a fault can say which one it was. Patterns as in the opcode table.
 * Those that only a kernel may execute are #GP, as they are for a program that may not; the others are #UD, as on a
 * processor that does not have them. Source: SDM volume 2, appendix A.
 */
export interface RefusedRow {
	readonly pattern: string;
	readonly prefix?: "66" | "f2" | "f3";
	readonly name: string;
	readonly privileged: boolean;
}

const PRIVILEGED = `
0f 00 /2 lldt
0f 00 /3 ltr
0f 01 /2 lgdt
0f 01 /3 lidt
0f 01 /6 lmsw
0f 01 /7 invlpg
0f 01 c8 monitor
0f 01 c9 mwait
0f 01 d1 xsetbv
0f 01 f8 swapgs
0f 06 clts
0f 07 sysret
0f 08 invd
0f 09 wbinvd
0f 20 mov from a control register
0f 21 mov from a debug register
0f 22 mov to a control register
0f 23 mov to a debug register
0f 30 wrmsr
0f 32 rdmsr
0f 33 rdpmc
0f 35 sysexit
0f 38 82 invpcid
0f a1 pop fs
0f a9 pop gs
0f b2 lss
0f b4 lfs
0f b5 lgs
6c insb
6d ins
6e outsb
6f outs
8e mov to a segment register
ca lret
cb lret
cf iret
e4 in
e5 in
e6 out
e7 out
ec in
ed in
ee out
ef out
f4 hlt`;

const OTHERS = `
0f 00 /0 sldt
0f 00 /1 str
0f 00 /4 verr
0f 00 /5 verw
0f 01 /0 sgdt
0f 01 /1 sidt
0f 01 /4 smsw
0f 01 c1 vmcall
0f 01 d0 xgetbv
0f 01 d9 vmmcall
0f 01 e8 serialize
0f 01 ef wrpkru
0f 01 fa monitorx
0f 01 fb mwaitx
0f 02 lar
0f 03 lsl
0f 05 syscall
0f 0e femms
0f 34 sysenter
0f 77 emms
0f a0 push fs
0f a8 push gs
0f ae /0 fxsave
0f ae /1 fxrstor
0f ae /2 ldmxcsr
0f ae /3 stmxcsr
0f ae /4 xsave
0f ae /5 xrstor
0f ae /6 xsaveopt
0f ae /7 clflush
66 0f ae /6 tpause or clwb
66 0f ae /7 clflushopt
f2 0f ae /6 umwait
f3 0f ae /0 rdfsbase
f3 0f ae /1 rdgsbase
f3 0f ae /2 wrfsbase
f3 0f ae /3 wrgsbase
f3 0f ae /6 umonitor
0f c7 /3 xrstors
0f c7 /4 xsavec
0f c7 /5 xsaves
0f c7 /6 rdrand
0f c7 /7 rdseed
8c mov from a segment register
9b fwait
c4 an AVX or BMI instruction (VEX)
c5 an AVX instruction (VEX)
ff /3 lcall
ff /5 ljmp
cd int
f1 int1`;

/** Opcodes of SSE and MMX, which have too many names: 0f 10 to 0f 17 and so on. */
const VECTOR = [
	[0x10, 0x17],
	[0x28, 0x2f],
	[0x3a, 0x3a],
	[0x50, 0x76],
	[0x7c, 0x7f],
	[0xc2, 0xc2],
	[0xc4, 0xc6],
	[0xd0, 0xfe],
] as const;

function parse(line: string, privileged: boolean): RefusedRow {
	const [, prefix, pattern = "", name = ""] =
		/^(?:(66|f2|f3) (?=0f))?((?:0f )?[0-9a-f]{2}(?: (?:\/\d|[0-9a-f]{2})(?= ))?) (.+)$/.exec(line)!;
	return { pattern, name, privileged, ...(prefix === undefined ? {} : { prefix: prefix as "66" | "f2" | "f3" }) };
}

function vector(): RefusedRow[] {
	const rows: RefusedRow[] = [];
	const add = (opcode: string, name: string): void => void rows.push({ pattern: opcode, name, privileged: false });
	for (const [first, last] of VECTOR) {
		for (let opcode = first; opcode <= last; opcode++) add(`0f ${opcode.toString(16)}`, "an SSE or MMX instruction");
	}
	for (let opcode = 0xd8; opcode <= 0xdf; opcode++) add(opcode.toString(16), "an x87 instruction");
	return rows;
}

/** Made anew by each call: few programs need them. */
export const refusedRows = (): readonly RefusedRow[] => [
	...PRIVILEGED.trim()
		.split("\n")
		.map((line) => parse(line, true)),
	...OTHERS.trim()
		.split("\n")
		.map((line) => parse(line, false)),
	...vector(),
];
