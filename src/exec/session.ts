import { bytesToHex } from "../base/index.js";
import { type Cpu, type FaultKind, REGISTER_NAMES, type Stop } from "../cpu/index.js";
import { Memory, PAGE_SHIFT, PAGE_SIZE, PERM, type Region } from "../memory/index.js";
import type { ExecRequest, MemoryRange } from "./request.js";

export type CpuFactory = (memory: Memory) => Promise<Cpu>;

export interface ExecAnswer {
	readonly exit: "end" | "limit" | "fault";
	/** The sixteen registers, rip and rflags, in hexadecimal. */
	readonly regs: Readonly<Record<string, string>>;
	/** The ranges of the request as they are after the run. */
	readonly mem: readonly { readonly addr: string; readonly hex: string }[];
	readonly fault?: { readonly kind: FaultKind; readonly address?: string };
}

/** Fills the rest of the pages of code, so that a jump beyond the code, other than to `at + length`, ends in an int3. */
const INT3 = 0xcc;

/** One memory and one Cpu, which stay warm over any number of requests. */
export class ExecSession {
	readonly #create: CpuFactory;
	#memory: Memory | undefined;
	#cpu: Cpu | undefined;
	#regions: Region[] = [];

	constructor(create: CpuFactory) {
		this.#create = create;
	}

	/** Runs one request. Throws the errors of the factory. */
	async run(request: ExecRequest): Promise<ExecAnswer> {
		const cpu = await this.start(request);
		try {
			return this.#execute(cpu, request);
		} finally {
			this.finish();
		}
	}

	/** Sets a request up without running it, for a caller that steps through it. {@link finish} ends it. */
	async start(request: ExecRequest): Promise<Cpu> {
		const cpu = await this.#ready();
		try {
			this.#map(pagesOf(request));
			this.#fill(request);
		} catch (error) {
			this.finish();
			throw error;
		}
		cpu.textChanged(request.code.address, request.code.bytes.length);
		cpu.state.words.set(request.state.words);
		return cpu;
	}

	async #ready(): Promise<Cpu> {
		if (this.#cpu === undefined) {
			this.#memory = new Memory();
			this.#cpu = await this.#create(this.#memory);
		}
		return this.#cpu;
	}

	#map(pages: ReadonlyMap<bigint, number>): void {
		for (const { first, count, perm } of runsOf(pages)) {
			this.#regions.push(this.#memory!.map("exec", first << BigInt(PAGE_SHIFT), count * PAGE_SIZE, perm));
		}
	}

	#fill({ code, memory }: ExecRequest): void {
		for (const { offset, length, perm } of this.#regions) {
			if ((perm & PERM.EXEC) !== 0) this.#memory!.bytes.fill(INT3, offset, offset + length);
		}
		for (const range of [...memory.filter((range) => range.bytes.length > 0), code]) {
			if (range.bytes.length > 0) this.#memory!.write(range.address, range.bytes);
		}
	}

	/** Unmaps the memory of a request. */
	finish(): void {
		for (const region of this.#regions) this.#memory!.unmap(region);
		this.#regions = [];
	}

	#execute(cpu: Cpu, request: ExecRequest): ExecAnswer {
		const end = BigInt.asUintN(64, request.code.address + BigInt(request.code.bytes.length));
		cpu.addBreakpoint(end);
		try {
			const stop = cpu.state.rip === end ? undefined : cpu.run(request.limit);
			return this.#answer(cpu, request.memory, stop, end);
		} finally {
			cpu.removeBreakpoint(end);
		}
	}

	#answer(cpu: Cpu, ranges: readonly MemoryRange[], stop: Stop | undefined, end: bigint): ExecAnswer {
		const regs: Record<string, string> = {};
		for (const [index, name] of REGISTER_NAMES.entries()) regs[name] = hexWord(cpu.state.words[index]!);
		regs.rip = hexWord(cpu.state.rip);
		regs.rflags = hexWord(cpu.state.rflags);
		const mem = ranges.map(({ address, bytes }) => ({
			addr: hexWord(address),
			hex: bytesToHex(this.#memory!.read(address, bytes.length)),
		}));
		// If the code ends at the end of a page, the bytes behind it may not be mapped. A fault at `end` is the end of
		// the code, too.
		if (stop === undefined || cpu.state.rip === end) return { exit: "end", regs, mem };
		if (stop.kind !== "fault") return { exit: "limit", regs, mem };
		const { kind, address } = stop.fault;
		return { exit: "fault", regs, mem, fault: address === undefined ? { kind } : { kind, address: hexWord(address) } };
	}

	close(): void {
		this.#regions = [];
		this.#cpu?.close();
		this.#memory?.close();
		this.#cpu = undefined;
		this.#memory = undefined;
	}
}

function hexWord(value: bigint): string {
	return `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/** Every page that the request touches, with all the permissions that were asked for it. */
function pagesOf({ code, memory }: ExecRequest): Map<bigint, number> {
	const pages = new Map<bigint, number>();
	for (const { address, bytes, perm } of [code, ...memory]) {
		if (bytes.length === 0) continue;
		const last = (address + BigInt(bytes.length - 1)) >> BigInt(PAGE_SHIFT);
		for (let page = address >> BigInt(PAGE_SHIFT); page <= last; page++) {
			pages.set(page, (pages.get(page) ?? 0) | perm);
		}
	}
	return pages;
}

/** Neighbouring pages with equal permissions. */
function runsOf(pages: ReadonlyMap<bigint, number>): { first: bigint; count: number; perm: number }[] {
	const runs: { first: bigint; count: number; perm: number }[] = [];
	for (const [page, perm] of [...pages].sort(([a], [b]) => (a < b ? -1 : 1))) {
		const last = runs.at(-1);
		if (last !== undefined && last.perm === perm && last.first + BigInt(last.count) === page) last.count++;
		else runs.push({ first: page, count: 1, perm });
	}
	return runs;
}
