import { expect, test } from "vitest";
import { CpuState, type FaultKind, RAX, RCX, RDX, RSP } from "../../../src/cpu/index.js";
import type { ExceptionEntry, Image } from "../../../src/elf/index.js";
import { fixup_exception } from "../../../src/linux/guest/extable.js";
import { Kallsyms } from "../../../src/linux/lib/index.js";
import { toU64 } from "../../../src/memory/index.js";

const INSN = -0x7f000000;
const FIXUP = INSN + 64;

function fixup(entry: Partial<ExceptionEntry>, kind: FaultKind = "page-fault", rip = INSN) {
	const whole: ExceptionEntry = {
		...{ insn: INSN, fixup: FIXUP, type: "DEFAULT", register: RDX, imm: 0, clearAx: false, clearDx: false },
		...entry,
	};
	const kallsyms = new Kallsyms();
	const image: Pick<Image, "contains" | "exceptionEntry"> = {
		contains: () => true,
		exceptionEntry: (ip) => (ip === INSN ? whole : undefined),
	};
	kallsyms.add(image as Image);
	const state = new CpuState();
	for (const [register, value] of [RAX, RCX, RDX, RSP].entries()) state.words[value] = BigInt(10 + register);
	state.rip = toU64(rip);
	const found = fixup_exception(kallsyms, { kind }, state);
	const [rax, rcx, rdx, rsp] = [RAX, RCX, RDX, RSP].map((register) => BigInt.asIntN(64, state.words[register]!));
	return { found, rip: state.rip, rax, rcx, rdx, rsp };
}

const UNTOUCHED = { found: true, rip: toU64(FIXUP), rax: 10n, rcx: 11n, rdx: 12n, rsp: 13n };

test("a fault elsewhere has no fixup", () => {
	expect(fixup({}, "page-fault", INSN + 1)).toEqual({ ...UNTOUCHED, found: false, rip: toU64(INSN + 1) });
	expect(fixup({}, "page-fault", 0x1000)).toMatchObject({ found: false });
});

test.each<[Partial<ExceptionEntry>, FaultKind, object]>([
	[{ type: "DEFAULT" }, "page-fault", {}],
	[{ type: "UACCESS", clearAx: true, clearDx: true }, "general-protection", { rax: 0n, rdx: 0n }],
	[{ type: "FAULT" }, "divide-error", { rax: 0n }],
	[{ type: "FAULT" }, "page-fault", { rax: 14n }],
	[{ type: "FAULT_MCE_SAFE" }, "general-protection", { rax: 13n }],
	[{ type: "DEFAULT_MCE_SAFE", clearAx: true }, "page-fault", { rax: 0n }],
	[{ type: "IMM_REG", imm: -14 }, "page-fault", { rdx: -14n }],
	[{ type: "POP_REG", imm: 1 }, "page-fault", { rdx: 1n, rsp: 21n }],
	[{ type: "UCOPY_LEN", imm: 8 }, "page-fault", { rcx: 8n * 11n + 12n }],
])("[rule 10.10] %o after a %s", (entry, kind, changed) => {
	expect(fixup(entry, kind)).toEqual({ ...UNTOUCHED, ...changed });
});
