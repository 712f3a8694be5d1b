import {
	type Kaddr,
	kaddrOf,
	type Memory,
	type MemoryListener,
	PAGE_SIZE,
	PERM,
	type Region,
	toU64,
} from "../../memory/index.js";
import { type Cpu, CpuState, type Fault, type Gate, GS_BASE, RFLAGS, RIP, STATE_WORDS, type Stop } from "../cpu.js";
import { type Decoded, decodeBytes, format, MAX_INSTRUCTION_BYTES, type NotDecoded } from "../x86/index.js";
import { AREA, PAGE_WORDS, REASON } from "./area.js";
import { CallSites } from "./call-sites.js";
import { Compiler } from "./compiler.js";
import { Gates } from "./gates.js";
import { CompiledModules } from "./modules.js";
import { SlowAccess } from "./slow-access.js";
import { Interpreter, straight } from "./tier0/index.js";
import { discover, instructionAt, isFaulting, type Text } from "./tier1/index.js";
import {
	buildGraph,
	DEFAULT_HEAT,
	enoughFuel,
	type Heat,
	HotSpots,
	instructionsOf,
	type Profile,
} from "./tier2/index.js";
import { type Translation, Translations } from "./translations.js";

const STATUS = 0x8d5;
const WASM_PAGE = 65536;
/** Instructions that translated code runs at a time: V8 replaces code by faster code only at an entry. */
const CHUNK = 1 << 20;
/** A smaller number, while code may still move to the second tier. */
const SMALL_CHUNK = 1 << 14;

/** The fewest instances of modules that a Cpu has made before it gives up those that it does not use any more. */
const MAX_INSTANCES = 512;

/** The opcode of the one-byte breakpoint. */
const INT3 = 0xcc;
const NO_BYTES = new Uint8Array();

/** A function, and where it begins. */
interface Code {
	readonly run: Translation["run"];
	readonly entry: number;
}

export interface JitOptions {
	/** Limits that decide when code moves to the next tier. */
	readonly heat?: Partial<Heat>;
	/** Where compiled modules are shared; by default with all Cpus of the process. */
	readonly modules?: CompiledModules;
}

/**
 * x86-64 translated to WebAssembly. Code is translated when it is first reached, a region (about a function) at a time;
 * the register file lies in the memory that translated code shares with the host, so runs start and stop at no cost.
 */
export class JitCpu implements Cpu {
	readonly name = "jit";
	readonly memory: Memory;
	readonly state: CpuState;
	onInstruction: ((rip: bigint) => void) | undefined;

	readonly #view: Int32Array;
	#flags: () => number;
	readonly #slow: SlowAccess;
	readonly #sites: CallSites;
	readonly #translations: Translations;
	readonly #gates: Gates;
	readonly #compiler: Compiler;
	readonly #breakpoints = new Set<bigint>();
	readonly #listener: MemoryListener;
	readonly #text: Text;
	readonly #hotSpots: HotSpots;
	readonly #interpreter: Interpreter;
	readonly #imports: Record<string, WebAssembly.ImportValue>;
	/** In the table of {@link Translations}. */
	#interpreterSlot: number | undefined;
	/** Calls of run() under way: a gate may run the Cpu, and what it interrupts must stay. */
	#depth = 0;
	#regions = 0;
	#hot = 0;
	/** How often an instruction is interpreted until it is translated. */
	readonly #cold: number;
	/** Instructions executed since the start, which rdtsc reads. */
	#clock = 0;

	constructor(memory: Memory, options: JitOptions = {}) {
		this.memory = memory;
		this.state = new CpuState(new BigUint64Array(memory.buffer, AREA.words, STATE_WORDS));
		this.#view = new Int32Array(memory.buffer);
		this.#slow = new SlowAccess(memory, (address, length) => this.#changed(address, length));
		this.#sites = new CallSites(memory);
		this.#translations = new Translations(memory);
		const imports: Record<string, WebAssembly.ImportValue> = {
			m: memory.wasm,
			t: this.#translations.table,
			prepare: (bytes: number, need: number) => this.#slow.prepare(bytes, need),
			commit: () => this.#slow.commit(),
			divide: (signed: number) => this.#slow.divide(signed),
			gate: (index: number, rdi: number, rsi: number, rdx: number, rcx: number) =>
				this.#gates.call(index, rdi, rsi, rdx, rcx),
		};
		this.#imports = imports;
		this.#gates = new Gates(memory, this.state, imports, (call) => this.#withState(call));
		this.#text = {
			decodeAt: (address, low) => this.#decode(address, low),
			site: (low) => this.#sites.cell(low),
			gate: (low) => this.#gates.at(low),
			isBreakpoint: (address) => this.#breakpoints.size > 0 && this.#breakpoints.has(address),
			isHot: (address) => this.#translations.isHot(address),
		};
		const modules = options.modules ?? CompiledModules.ofProcess;
		this.#compiler = new Compiler(modules, memory.buffer.byteLength / WASM_PAGE, { h: imports }, this.#text);
		this.#flags = this.#compiler.helpers(imports);
		this.#cold = options.heat?.cold ?? DEFAULT_HEAT.cold;
		this.#interpreter = new Interpreter(memory.buffer, modules.forms, imports, this.#cold);
		const hotTranslations = {
			instruction: (address: Kaddr) => instructionAt(this.#text, toU64(address)),
			find: (root: Kaddr) => this.#translations.hot(root)?.hot,
			translate: (root: Kaddr, profile: Profile, unrolled: boolean) => this.#makeHot(root, profile, unrolled),
			drop: (root: Kaddr) => this.#translations.dropHot(this.#translations.hot(root)!),
		};
		this.#hotSpots = new HotSpots(this.#view, hotTranslations, { ...DEFAULT_HEAT, ...options.heat });
		const drop = (region: Region): void => {
			this.#translations.dropRange(region.address, region.length);
			this.#view[AREA.epoch >> 2]!++;
		};
		this.#listener = { mapped: () => {}, unmapped: drop, protectionChanged: drop };
		memory.listen(this.#listener);
	}

	/**
	 * Counts since the start: regions translated, pieces translated for the second tier, WebAssembly modules compiled for
	 * either.
	 */
	get statistics(): { regions: number; hot: number; compiled: number } {
		return { regions: this.#regions, hot: this.#hot, compiled: this.#compiler.compiled };
	}

	run(budget: number): Stop {
		if (this.#depth === 0) return this.#run(budget);
		// A gate of code that runs has called this: what that code has left for its own run() must stay. The time goes on.
		const view = this.#view;
		const words = [AREA.reason, AREA.gate, AREA.stayed, AREA.refused].map((at) => at >> 2);
		const before = words.map((at) => view[at]!);
		const pages = view.slice(AREA.pages >> 2, (AREA.pages >> 2) + PAGE_WORDS);
		const begin = this.#clock;
		const outer = this.#clockWord();
		try {
			return this.#run(budget);
		} finally {
			for (const [index, at] of words.entries()) view[at] = before[index]!;
			view.set(pages, AREA.pages >> 2);
			this.#setClockWord(outer + this.#clock - begin);
		}
	}

	#clockWord(): number {
		const at = AREA.clock >> 2;
		return (this.#view[at]! >>> 0) + this.#view[at + 1]! * 2 ** 32;
	}

	#setClockWord(clock: number): void {
		const at = AREA.clock >> 2;
		this.#view[at] = clock | 0;
		this.#view[at + 1] = Math.floor(clock / 2 ** 32);
	}

	#run(budget: number): Stop {
		this.#depth++;
		this.#enter();
		this.#hotSpots.interrupted();
		let executed = 0;
		/** The value of `executed` at the last call of onInstruction. */
		let told = -1;
		let stop: Stop | undefined;
		try {
			while (stop === undefined) {
				if (executed >= budget) return { kind: "budget", executed };
				if (executed > 0 && this.#breakpoints.size > 0 && this.#breakpoints.has(this.state.rip)) {
					return { kind: "breakpoint", executed, address: this.state.rip };
				}
				let fuel = Math.min(budget - executed, this.#hotSpots.cool ? CHUNK : SMALL_CHUNK);
				const { passing } = this.#slow;
				if (passing) fuel = 1;
				if (this.onInstruction !== undefined) {
					fuel = 1;
					// Not again if a translation has refused to run the instruction.
					if (told !== executed) {
						told = executed;
						this.#leave();
						this.onInstruction(this.state.rip);
						this.#enter();
					}
				} else if (this.#hotSpots.recording) {
					fuel = 1;
					this.#hotSpots.record(this.state);
				}
				const code = this.#find(fuel);
				if ("kind" in code) return { kind: "fault", executed, fault: code };
				const used = this.#execute(code, code.entry, fuel);
				executed += used;
				this.#hotSpots.ran(used);
				stop = this.#reason(executed);
				if (passing && this.#view[AREA.reason >> 2] !== REASON.slow) this.#slow.passing = false;
			}
			return stop;
		} finally {
			this.#leave();
			this.#depth--;
		}
	}

	/** Runs translated code; returns the instructions that completed. */
	#execute(code: Pick<Code, "run">, entry: number, fuel: number): number {
		const view = this.#view;
		view[AREA.reason >> 2] = REASON.go;
		view[AREA.stayed >> 2] = 0;
		this.#setClockWord(this.#clock + fuel);
		const used = fuel - code.run(entry, fuel);
		this.#clock += used;
		return used;
	}

	/** The next instruction makes an access that the shadow forbids: that is told, and it makes it. */
	#tellForbidden(): undefined {
		this.#leave();
		this.memory.onForbidden();
		this.#enter();
		this.#slow.passing = true;
	}

	/** The stop that belongs to the reason for which translated code returned; `undefined`: go on at rip. */
	#reason(executed: number): Stop | undefined {
		switch (this.#view[AREA.reason >> 2]) {
			case REASON.go:
				return undefined;
			case REASON.gate:
				this.#gates.rethrow();
				return { kind: "gate", executed, gate: this.#gates.get(this.#view[AREA.gate >> 2]!) };
			case REASON.fault:
				if (this.#slow.takeForbidden()) return this.#tellForbidden();
				return { kind: "fault", executed, fault: this.#slow.takeFault() };
			case REASON.divide:
				return { kind: "fault", executed, fault: { kind: "divide-error" } };
			case REASON.general:
				return { kind: "fault", executed, fault: { kind: "general-protection" } };
			case REASON.trapFlag: {
				const detail = "popf sets TF: single steps are not emulated";
				return { kind: "fault", executed, fault: { kind: "general-protection", detail } };
			}
			case REASON.site:
				return this.#atOddSite(executed);
			case REASON.slow:
				this.#hotSpots.refused(this.#clock);
				return undefined;
			default:
				throw new Error("translated code gave no reason");
		}
	}

	/** Executes the bytes of a call site in the middle of a poke as one instruction. */
	#atOddSite(executed: number): Stop | undefined {
		const { rip } = this.state;
		// Nearly always an int3 that text_poke has written: there is nothing else to decode.
		const page = this.#executable(rip);
		if (page >= 0 && this.memory.bytes[page + Number(rip & 0xfffn)] === INT3) {
			return { kind: "fault", executed, fault: { kind: "breakpoint" } };
		}
		const decoded = this.#decode(rip);
		if (isFaulting(decoded)) return { kind: "fault", executed, fault: this.#faultOf(rip, decoded) };
		const { length } = decoded;
		const entry = { kind: "plain", address: rip, low: kaddrOf(rip), length, instruction: decoded } as const;
		const record = this.#interpreter.single(entry);
		const used = this.#execute(this.#interpreter, record, 1);
		return this.#reason(executed + used);
	}

	/** How to run the code at rip, or the fault if that cannot be executed. */
	#find(fuel: number): Code | Fault {
		const { halves } = this.state;
		const low = halves[2 * RIP]!;
		const inWindow = low < 0 && halves[2 * RIP + 1] === -1;
		// Breakpoints are checked in run() only, so that no translated code may go to them directly.
		const linked = inWindow && (this.#breakpoints.size === 0 || !this.#breakpoints.has(this.state.rip));
		const hot = inWindow ? this.#translations.hot(low) : undefined;
		if (this.#hotSpots.wants(hot?.hot, fuel) && hot !== undefined) {
			if (linked) this.#translations.link(low, { run: hot.run, entry: 0, translation: hot });
			return { run: hot.run, entry: 0 };
		}
		const known = this.#translations.find(this.state);
		const warm = known?.translation.record !== undefined && this.#interpreter.isWarm(known.entry);
		if (known !== undefined && !warm) {
			if (linked && hot === undefined) this.#translations.link(low, known);
			return known;
		}
		return warm || this.#cold === 0 ? this.#translate() : this.#interpret();
	}

	/** A translation of the first tier for the code at rip, from now on instead of what is interpreted. */
	#translate(): Code | Fault {
		const { rip } = this.state;
		const instructions = discover(this.#text, rip);
		if (instructions.length === 0) return this.#faultOf(rip, this.#decode(rip));
		this.#giveBack();
		this.#regions++;
		const run = this.#compiler.region(instructions);
		this.#translations.unlinkAll();
		this.#translations.add({ instructions, run, slot: this.#translations.enroll(run) });
		return { run, entry: instructions.findIndex(({ address }) => address === rip) };
	}

	/** A block of the interpreter for the code at rip. */
	#interpret(): Code | Fault {
		const { rip } = this.state;
		const instructions = straight(this.#text, rip, (address, low) => this.#translations.has(address, low));
		if (instructions.length === 0) return this.#faultOf(rip, this.#decode(rip));
		let record = this.#interpreter.block(instructions);
		if (record === undefined) {
			if (this.#depth > 1) return this.#translate();
			this.#translations.clear(false);
			this.#interpreter.reset();
			record = this.#interpreter.block(instructions)!;
		}
		const { run } = this.#interpreter;
		this.#interpreterSlot ??= this.#translations.enroll(run);
		this.#translations.add({ instructions, run, slot: this.#interpreterSlot, record });
		return { run, entry: record };
	}

	/** Begins anew with no translations if most that were made are not used any more, so that the engine frees them. */
	#giveBack(): void {
		const { instances } = this.#compiler;
		if (instances < MAX_INSTANCES || instances < 2 * this.#translations.count || this.#depth > 1) return;
		this.#compiler.instances = 0;
		this.#translations.clear(true);
		this.#imports.t = this.#translations.table;
		// This instance, too, has imported the table, and would keep it.
		this.#flags = this.#compiler.helpers(this.#imports);
		this.#interpreter.forgetForms();
		this.#interpreter.reset();
		this.#interpreterSlot = undefined;
	}

	/** Translates the code that the profile has seen from `root` on for the second tier; false if it cannot. */
	#makeHot(root: Kaddr, profile: Profile, unrolled: boolean): boolean {
		const graph = buildGraph(this.#text, root, profile, unrolled);
		if (graph === undefined) return false;
		const run = this.#compiler.hot(graph);
		this.#hot++;
		const hot = { root, enoughFuel: enoughFuel(graph), profile, refusals: 0, since: this.#clock };
		this.#translations.addHot({
			instructions: instructionsOf(graph),
			run,
			slot: this.#translations.enroll(run),
			hot,
		});
		return true;
	}

	/** `low`: the address in the window, or undefined. */
	#decode(address: bigint, low = kaddrOf(address)): Decoded {
		const { bytes } = this.memory;
		const start = low === undefined ? Number(address & 0xfffn) : low & 0xfff;
		const page = this.#executable(low ?? address);
		if (page < 0) return decodeBytes(NO_BYTES, address);
		const left = PAGE_SIZE - start;
		if (left >= MAX_INSTRUCTION_BYTES) return decodeBytes(bytes, address, page + start);
		// The instruction may go on in the next page.
		const next = this.#executable(BigInt.asUintN(64, address + BigInt(left)));
		const rest = next < 0 ? NO_BYTES : bytes.subarray(next, next + MAX_INSTRUCTION_BYTES - left);
		return decodeBytes(Uint8Array.of(...bytes.subarray(page + start, page + PAGE_SIZE), ...rest), address);
	}

	/** Where the page of the address is in the backing store; -1: it cannot be executed. */
	#executable(address: Kaddr | bigint): number {
		const entry = this.memory.entry(address);
		return (entry & PERM.EXEC) === 0 ? -1 : (entry & ~0xfff) >>> 0;
	}

	#faultOf(rip: bigint, decoded: Decoded): Fault {
		if (BigInt.asUintN(64, BigInt.asIntN(48, rip)) !== rip) return { kind: "general-protection" };
		if (!("error" in decoded)) {
			return decoded.row.semantic === "int3"
				? { kind: "breakpoint" }
				: { kind: "invalid-opcode", detail: format(decoded) };
		}
		const refused: NotDecoded = decoded;
		if (refused.error !== "fetch") return { kind: refused.error, detail: refused.detail };
		const address = BigInt.asUintN(64, rip + BigInt(refused.bytes.length));
		return { kind: "page-fault", address, access: "fetch" };
	}

	/** Calls a function that may read `state`, and change all of it but rip. */
	#withState(call: () => boolean): boolean {
		const { rip } = this.state;
		this.#leave();
		try {
			return call();
		} finally {
			this.state.rip = rip;
			this.#enter();
		}
	}

	/** Sets the lazy flags from rflags. */
	#enter(): void {
		this.#view[AREA.flagKind >> 2] = 0;
		this.#view[AREA.flagR >> 2] = this.#view[AREA.rflags >> 2]! & STATUS;
	}
	/** Sets rflags from the lazy flags. */
	#leave(): void {
		const at = AREA.rflags >> 2;
		this.#view[at] = (this.#view[at]! & ~STATUS) | this.#flags() | 2;
	}

	addGate(address: Kaddr, gate: Gate): void {
		this.#gates.bind(address | 0, gate);
		this.#changed(toU64(address), 2);
	}
	removeGate(address: Kaddr): void {
		this.#gates.unbind(address | 0);
		this.#changed(toU64(address), 2);
	}
	addBreakpoint(address: bigint): void {
		this.#breakpoints.add(BigInt.asUintN(64, address));
		this.#translations.unlinkAll();
		this.#changed(BigInt.asUintN(64, address), 1);
	}
	removeBreakpoint(address: bigint): void {
		this.#breakpoints.delete(BigInt.asUintN(64, address));
		this.#changed(BigInt.asUintN(64, address), 1);
	}
	addCallSite(address: Kaddr): void {
		if (this.#sites.add(address | 0)) this.#changed(toU64(address), 5);
	}
	removeCallSite(address: Kaddr): void {
		if (this.#sites.remove(address | 0)) this.#changed(toU64(address), 5);
	}

	textChanged(address: Kaddr | bigint, length: number): void {
		const start = typeof address === "bigint" ? BigInt.asUintN(64, address) : toU64(address);
		if (this.#sites.changed(start, length)) {
			// Translations that treat these bytes as a call site remain valid.
			if (this.#translations.dropRange(start, length, true)) this.#view[AREA.epoch >> 2]!++;
		} else this.#changed(start, length);
	}

	/** Drops the translations of these bytes; true if there were any. */
	#changed(address: bigint, length: number): boolean {
		this.#sites.changed(address, length);
		const dropped = this.#translations.dropRange(address, length);
		if (dropped) this.#view[AREA.epoch >> 2]!++;
		return dropped;
	}

	close(): void {
		this.memory.unlisten(this.#listener);
		this.#translations.dropRange(0n, 0, false, true);
	}
}

// The area repeats CpuState's layout for translated code.
if (
	AREA.rip !== AREA.words + 8 * RIP ||
	AREA.rflags !== AREA.words + 8 * RFLAGS ||
	AREA.gsBase !== AREA.words + 8 * GS_BASE
)
	throw new Error("jit area does not match CpuState");
