import { decodeBytes } from "../../x86/index.js";
import { isFaulting, type RegionInstruction } from "../tier1/index.js";

/**
 * One instruction of each form that nearly every scenario runs: of what gcc makes of small functions, and of asm/. To find
 * them, the forms that the scenarios of scenarios/ met were counted.
 */
const COMMON = [
	"53 5b c3 31c0 9d 9c 730a 7404 75e6 ebf9",
	"ffd0 e807000000 0f1f8000000000 4889fb 4885c0 4801ca 4831df 480fa3c7",
	"4883f808 4883c001 4883ec08 4881c4a8000000 4881eca8000000 4869dbe8030000",
	"48c744247800000000 488305c81f000001 48893db11f0000 488bb424b0000000 488d8c24b0000000 0fb68838100081",
];

/**
 * The same for the other forms that the kernel's own livepatch code, compiled, meets under these scenarios, and modules that
 * gcc has made. Constants are 0.
 */
const OFTEN = [
	"19c0 1cff 29c1 38c2 3c31 4898 6a00 720f 763a 7776 7839 7d12 7f0b 84c0 85c0 8816 89e8 8b07 d3e0 f6d8 f7d2 ff12",
	"ffe0 0f95c0 0f97c0 0fb6c0 4139d5 4408c2 4409c8 4829f8 4839f2 4863ff 48d3ea 80e600 80f900 833f00 83c200 83c800",
	"83e000 83e800 83fe00 891400 8d5300 c1f800 f6c400 0f944500 410f44ec 410f94c4 480f44e8 48397a00 48c1ea00",
	"490fafde 4c0f45c0 f00fb100 f30f1efa f6430000 4883780000 a9ff000000 b8ea000000 e936000000 f080480000",
	"f080630000 031500000000 0f8400000000 0f8500000000 0f8800000000 399800000000 3b0500000000 480500000000",
	"482d00000000 483d00000000 69d000000000 81ce00000000 81e100000000 81fa00000000 f0480fba2b00 f0480fba3700",
	"f7c200000000 0fb70500000000 48219700000000 4881fe00000000 48c7c700000000 65ff0500000000 65ff0d00000000",
	"80b00000000000 80ba0000000000 f0810000000000 f0812f00000000 41c6860000000000 480fa30500000000",
	"65483b3d00000000 6641898100000000 65482b042500000000 48b80000000000000000 41c7810000000000000000",
];

function instructions(lines: readonly string[]): RegionInstruction[] {
	return lines
		.flatMap((line) => line.split(" "))
		.map((text): RegionInstruction => {
			const bytes = Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
			const instruction = decodeBytes(bytes, 0n);
			if (isFaulting(instruction)) throw new Error(`internal error: no instruction: ${text}`);
			return { kind: "plain", address: 0n, low: undefined, length: instruction.length, instruction };
		});
}

function gate(passes: "args" | "state"): RegionInstruction {
	const never = () => false;
	return {
		kind: "gate",
		address: 0n,
		low: undefined,
		length: 1,
		index: 0,
		gate: { name: passes, passes, call: never },
	};
}

/** The common instructions, a call site and gates. */
export function commonInstructions(): RegionInstruction[] {
	return [
		{ kind: "site", address: 0n, low: undefined, length: 5, cell: 0 },
		gate("args"),
		gate("state"),
		...instructions(COMMON),
	];
}

/** The instructions to expect where a program has met one that is not common. */
export function oftenInstructions(): RegionInstruction[] {
	return instructions(OFTEN);
}
