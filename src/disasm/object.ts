import { groupBy } from "../base/index.js";
import { type ElfObject, type ElfSection, type ElfSymbol, parseElf, relocationName } from "../elf/index.js";
import type { Disassembler, Instruction } from "./disassembler.js";

const SHF_EXECINSTR = 4;
const BYTES_PER_LINE = 8;
/**
 * Sections that list the addresses of call sites, and the name of such a site in the output. The first one counts: beside it, the other
 * one lists the padding in front of functions (elf/call-sites.ts).
 */
const SITE_SECTIONS = [
	{ name: "__mcount_loc", label: "fentry site" },
	{ name: "__patchable_function_entries", label: "patchable function entry" },
] as const;

/**
 * The code of a relocatable object as text, for people: functions, instructions in AT&T syntax, the relocations that patch
 * them, and the sites that ftrace will take over. Throws the errors of {@link parseElf}.
 */
export function disasmObject(bytes: Uint8Array, fileName: string, disassembler: Disassembler): string {
	const object = parseElf(bytes, fileName);
	const sites = callSites(object);
	const count = [...sites.values()].reduce((sum, offsets) => sum + offsets.size, 0);
	const lines = [`${fileName}: ELF64 x86-64 relocatable, ${count} call site${count === 1 ? "" : "s"} for ftrace`];
	for (const section of object.sections) {
		if ((section.flags & SHF_EXECINSTR) === 0 || section.size === 0) continue;
		lines.push("", `section ${section.name}:`);
		const more = sectionLines(object, section, sites.get(section.index) ?? new Map(), disassembler);
		for (const line of more) lines.push(line);
	}
	return `${lines.join("\n")}\n`;
}

/** Call sites by section and offset, with the name of the kind of site. */
function callSites(object: ElfObject): Map<number, Map<number, string>> {
	const out = new Map<number, Map<number, string>>();
	const kind = SITE_SECTIONS.find(({ name }) =>
		object.sections.some((section) => section.name === name && section.size > 0),
	);
	for (const section of object.sections) {
		if (kind === undefined || section.name !== kind.name) continue;
		const { label } = kind;
		for (const { symbol, addend } of section.relocations) {
			const offsets = out.get(symbol.section) ?? new Map<number, string>();
			out.set(symbol.section, offsets.set(symbol.value + Number(addend), label));
		}
	}
	return out;
}

function sectionLines(
	object: ElfObject,
	section: ElfSection,
	sites: ReadonlyMap<number, string>,
	disassembler: Disassembler,
): string[] {
	const lines: string[] = [];
	const starts = labelsOf(object, section);
	const cuts = [...new Set([0, ...starts.keys(), section.size])].sort((a, b) => a - b);
	const relocations = [...section.relocations].sort((a, b) => a.offset - b.offset);
	let next = 0;
	for (const [index, start] of cuts.entries()) {
		for (const symbol of starts.get(start) ?? []) {
			lines.push("", `${address(start)} <${symbol.name}>:${symbol.binding === "global" ? "" : ` (${symbol.binding})`}`);
		}
		// Function by function: after padding or data, the disassembly of the next function still begins at its start.
		const end = cuts[index + 1] ?? section.size;
		for (const instruction of disassembler.disassemble(section.data.subarray(start, end), BigInt(start))) {
			const offset = Number(instruction.address);
			lines.push(...instructionLines(instruction, sites.get(offset)));
			const after = offset + instruction.bytes.length;
			for (; next < relocations.length && relocations[next]!.offset < after; next++) {
				const { type, symbol, addend, offset: place } = relocations[next]!;
				lines.push(`${" ".repeat(10)}${hexOffset(place)}: ${relocationName(type)} ${symbol.name}${signed(addend)}`);
			}
		}
	}
	return lines;
}

function labelsOf(object: ElfObject, section: ElfSection): Map<number, ElfSymbol[]> {
	const labels = object.symbols.filter(
		(symbol) => symbol.section === section.index && symbol.type !== "section" && symbol.name !== "",
	);
	return groupBy(labels, ({ value }) => value);
}

/** Long instructions take a second line for their bytes, as objdump writes them. */
function instructionLines({ address: at, bytes, text }: Instruction, site: string | undefined): string[] {
	const hexBytes = [...bytes].map((byte) => byte.toString(16).padStart(2, "0"));
	const first = hexBytes
		.slice(0, BYTES_PER_LINE)
		.join(" ")
		.padEnd(3 * BYTES_PER_LINE);
	const lines = [`${hexOffset(Number(at))}:  ${first} ${text}${site === undefined ? "" : `   <-- ${site}`}`];
	if (bytes.length > BYTES_PER_LINE) {
		lines.push(`${hexOffset(Number(at) + BYTES_PER_LINE)}:  ${hexBytes.slice(BYTES_PER_LINE).join(" ")}`);
	}
	return lines;
}

const address = (offset: number): string => offset.toString(16).padStart(16, "0");
const hexOffset = (offset: number): string => offset.toString(16).padStart(6);

function signed(addend: bigint): string {
	if (addend === 0n) return "";
	return addend < 0n ? `-0x${(-addend).toString(16)}` : `+0x${addend.toString(16)}`;
}
