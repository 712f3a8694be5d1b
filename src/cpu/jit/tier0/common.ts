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

/** These instructions, and a call site. */
export function commonInstructions(): RegionInstruction[] {
	const plain = COMMON.flatMap((line) => line.split(" ")).map((text): RegionInstruction => {
		const instruction = decodeBytes(
			Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)),
			0n,
		);
		if (isFaulting(instruction)) throw new Error(`internal error: no instruction: ${text}`);
		return { kind: "plain", address: 0n, length: instruction.length, instruction };
	});
	return [{ kind: "site", address: 0n, length: 5, cell: 0 }, ...plain];
}
