import { type Image, joinDebugSections, type PlacedObject } from "../../elf/index.js";
import type { Machine } from "../../machine/index.js";
import { type Kaddr, PERM, toKaddr } from "../../memory/index.js";
import type { LoadedObjects } from "../../scenario/index.js";
import { elfFile, type FileRegion, type FileSymbol } from "./elf-file.js";
import { debugFrame, type RowRange } from "./frame-info.js";
import { OUTSIDE, OUTSIDE_SIZE } from "./threads.js";

/** Sections whose addresses debug information refers to. */
type SectionOf = PlacedObject["addressOf"];

/**
 * All code that a run has ever had in memory: images that come and go, trampolines, the engine's assembly. The addresses of a
 * deterministic run are known once it has run, so that one file describes all of it.
 */
export class ProgramMap {
	readonly #images = new Set<Image>();
	readonly #trampolines = new Map<Kaddr, { readonly name: string; readonly size: number; readonly rows: RowRange[] }>();
	#last: Image | undefined = undefined;
	#imageCount = 0;
	#trampolineCount = 0;

	/** Notes what is new. Cheap if nothing is. */
	look(machine: Machine): void {
		const { images } = machine.kallsyms;
		const last = images.at(-1);
		if (last !== this.#last || images.length !== this.#imageCount) {
			for (const image of images) this.#images.add(image);
			this.#last = last;
			this.#imageCount = images.length;
		}
		const { live } = machine.ftrace.trampolines;
		if (live.size === this.#trampolineCount) return;
		this.#trampolineCount = live.size;
		for (const { address, size, ops } of live.values()) {
			if (this.#trampolines.has(address)) continue;
			const rows = rowsOf((ip) => machine.symbols.findRow(ip), address, address + size, true);
			this.#trampolines.set(address, { name: `ftrace_trampoline[${ops.name}]`, size, rows });
		}
	}

	/** The file for a debugger: symbols, unwind rows, and the debug information of the objects. At the end of the run. */
	file(machine: Machine, loaded: LoadedObjects): Uint8Array {
		const images = [...this.#images];
		const assembly = assemblyOf(machine, images);
		const symbols: FileSymbol[] = [...assembly.symbols];
		const rows: RowRange[] = [...assembly.rows];
		const regions: FileRegion[] = [...assembly.regions];
		for (const image of images) {
			for (const region of image.regions) {
				const executable = (region.perm & PERM.EXEC) !== 0;
				regions.push({ name: `.${region.name}`, address: toKaddr(region.address), length: region.length, executable });
			}
			for (const { name, address, size, type, binding } of image.symbols) {
				symbols.push({ name, address, size, isFunction: type === "func", isLocal: binding === "local" });
				if (type === "func")
					rows.push(...rowsOf((ip) => image.findRow(ip), address, address + Math.max(size, 1), false));
			}
		}
		for (const [address, { name, size, rows: own }] of this.#trampolines) {
			symbols.push({ name, address, size, isFunction: true, isLocal: false });
			rows.push(...own);
		}
		for (const { name, address } of Object.values(OUTSIDE)) {
			// Without a section, gdb finds no symbol for an address.
			regions.push({ name: `.${name}`, address, length: OUTSIDE_SIZE, executable: true });
			symbols.push({ name, address, size: OUTSIDE_SIZE, isFunction: true, isLocal: false });
			rows.push({ start: address, end: address + OUTSIDE_SIZE, row: undefined, forgets: true });
		}
		const debug = joinDebugSections(images.flatMap((image) => placedObjects(image, loaded)));
		return elfFile(regions, symbols, new Map([...debug, [".debug_frame", debugFrame(rows)]]));
	}
}

/** The unwind rows of a range of code. */
function rowsOf(rowAt: (ip: Kaddr) => RowRange["row"], start: Kaddr, end: Kaddr, forgets: boolean): RowRange[] {
	const ranges: RowRange[] = [];
	let from = start;
	let row = rowAt(start);
	for (let ip = start + 1; ip <= end; ip++) {
		const next = ip < end ? rowAt(ip) : undefined;
		if (ip < end && (next === row || JSON.stringify(next) === JSON.stringify(row))) continue;
		ranges.push({ start: from, end: ip, row, forgets });
		from = ip;
		row = next;
	}
	return ranges;
}

/** The objects of an image, each with the addresses of its sections. */
function placedObjects(image: Image, { vmlinux, modules, livepatches }: LoadedObjects): PlacedObject[] {
	const objects = image.name === "vmlinux" ? vmlinux : (modules.get(image.name) ?? livepatches.get(image.name) ?? []);
	return objects.map((object) => {
		const addresses = new Map<string, bigint>();
		const addressOf: SectionOf = ({ name, flags }) => {
			if ((flags & 2) === 0) return undefined;
			const known = addresses.get(name);
			if (known !== undefined) return known;
			const found = image.sections(name).find((part) => part.object === object.fileName);
			if (found !== undefined) addresses.set(name, BigInt(found.address));
			return found && BigInt(found.address);
		};
		return { object, addressOf };
	});
}

/** The engine's assembly and the gates: executable memory outside of the images, with its labels. */
function assemblyOf(machine: Machine, images: readonly Image[]) {
	const regions: FileRegion[] = [];
	const symbols: FileSymbol[] = [];
	const rows: RowRange[] = [];
	for (const { name, address, length, perm } of machine.memory.regions) {
		const start = toKaddr(address);
		if ((perm & PERM.EXEC) === 0 || images.some((image) => image.contains(start))) continue;
		if (machine.ftrace.trampolines.live.has(start)) {
			regions.push({ name: `.${name}`, address: start, length, executable: true });
			continue;
		}
		regions.push({ name: `.${name}`, address: start, length, executable: true });
		symbols.push(...labelsOf(machine, start, start + length));
		rows.push(...rowsOf((ip) => machine.symbols.findRow(ip), start, start + length, true));
	}
	return { regions, symbols, rows };
}

function labelsOf(machine: Machine, start: Kaddr, end: Kaddr): FileSymbol[] {
	const labels: FileSymbol[] = [];
	for (let ip = start; ip < end; ) {
		// As %pS prints it: name+0xoffset/0xsize.
		const [, name, size] = /^(.+)\+0x0\/0x([0-9a-f]+)$/.exec(machine.symbols.sprint_symbol(ip, false)) ?? [];
		if (name === undefined) ip++;
		else {
			const length = Math.max(Number.parseInt(size!, 16), 1);
			labels.push({ name, address: ip, size: length, isFunction: true, isLocal: false });
			ip += length;
		}
	}
	return labels;
}
