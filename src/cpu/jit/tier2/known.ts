import type { Instruction, MemoryOperand, Semantic } from "../../x86/index.js";
import type { MemoryPlace } from "../semantics/index.js";
import { commonGroups, type OpenGroups, type Where } from "./access-plan.js";
import { isSameSetter, type Setter } from "./flags.js";

/** A value that is `offset` more than another one, of which nothing is known but its number. */
interface Value {
	readonly number: number;
	readonly offset: number;
}

const REGISTERS = 16;
/** Semantics that store exactly the value that they load. */
const MOVES_VALUES = new Set<Semantic>(["mov", "push", "pop"]);
const ADDS_CONSTANTS = new Set<Semantic>(["add", "sub"]);

/** Facts about registers and memory at the current place of a {@link Way}, while code is emitted. */
export class Known {
	/** Next number of a value, for all ways of a stretch: the registers have the first sixteen where the stretch begins. */
	readonly #numbers: { next: number };
	readonly #values: Value[];
	/** Registers whose 64 bits are in memory as well, and where. */
	readonly #homes: Map<number, MemoryPlace>;
	/** Registers whose low byte is in a local of its own, too ({@link Registers.getLow}). */
	readonly lowBytes: Set<number>;
	/** The instruction that set the flags, if it is known. */
	setter: Setter | undefined;
	/** In a draft: the groups of accesses that the next access can join. */
	open: OpenGroups;
	// Of locals of the current instruction: which address it is, which value, and where it was loaded from.
	readonly #where = new Map<number, Where>();
	readonly #derived = new Map<number, Value>();
	readonly #loaded = new Map<number, MemoryPlace>();

	private constructor(
		numbers: { next: number },
		values: Value[],
		homes = new Map<number, MemoryPlace>(),
		open: OpenGroups = new Map(),
		lowBytes = new Set<number>(),
	) {
		this.#numbers = numbers;
		this.#values = values;
		this.#homes = homes;
		this.open = open;
		this.lowBytes = lowBytes;
	}

	/** At the beginning of a stretch: all registers have values of their own. */
	static atStart(): Known {
		const values = Array.from({ length: REGISTERS }, (_, number) => ({ number, offset: 0 }));
		return new Known({ next: REGISTERS }, values);
	}

	/** A copy for a way that branches off here. Later facts about one way are not known on the other one. */
	fork(): Known {
		const known = new Known(this.#numbers, [...this.#values], new Map(this.#homes), this.open, new Set(this.lowBytes));
		known.setter = this.setter;
		return known;
	}

	/** Nothing is known, not even that a register is as it was where the stretch begins. */
	nothing(): Known {
		const values = Array.from({ length: REGISTERS }, () => this.#fresh());
		return new Known(this.#numbers, values);
	}

	/** From now on only what the other one knows too. */
	meet(other: Known): void {
		for (const [reg, { number, offset }] of other.#values.entries()) {
			const mine = this.#values[reg]!;
			if (mine.number !== number || mine.offset !== offset) this.#values[reg] = this.#fresh();
			const [home, place] = [this.#homes.get(reg), other.#homes.get(reg)];
			if (home !== undefined && !(home.host === place?.host && home.offset === place.offset)) this.#homes.delete(reg);
		}
		for (const reg of this.lowBytes) if (!other.lowBytes.has(reg)) this.lowBytes.delete(reg);
		this.open = commonGroups(this.open, other.open);
		if (!isSameSetter(this.setter, other.setter)) this.setter = undefined;
	}

	beginInstruction(): void {
		this.#where.clear();
		this.#derived.clear();
		this.#loaded.clear();
	}

	#fresh(): Value {
		return { number: this.#numbers.next++, offset: 0 };
	}

	// ---- registers ----

	/** The register is set to the local. */
	setRegister(reg: number, size: number, local: number): void {
		this.#values[reg] = (size === 64 ? this.#derived.get(local) : undefined) ?? this.#fresh();
		this.#setHome(reg, size === 64 ? this.#loaded.get(local) : undefined);
	}

	/** The value of a register to which the instruction adds a constant, for {@link added}. */
	beforeAdding(i: Instruction): Value | undefined {
		const [to, by] = i.operands;
		const adds = ADDS_CONSTANTS.has(i.row.semantic) && to?.kind === "reg" && to.size === 64 && by?.kind === "imm";
		return adds ? this.#values[to.reg] : undefined;
	}
	/** Behind the instruction. */
	added(i: Instruction, before: Value | undefined): void {
		const [to, by] = i.operands;
		if (before === undefined || to?.kind !== "reg" || by?.kind !== "imm") return;
		const distance = Number(BigInt.asIntN(64, by.value)) * (i.row.semantic === "add" ? 1 : -1);
		this.#values[to.reg] = { number: before.number, offset: before.offset + distance };
	}

	/** The local is a register's 64 bits. */
	readRegister(i: Instruction, reg: number, local: number): void {
		if (MOVES_VALUES.has(i.row.semantic)) this.#derived.set(local, this.#values[reg]!);
	}

	// ---- memory ----

	/** The local was loaded from there. */
	loaded(i: Instruction, place: MemoryPlace, local: number): void {
		if (MOVES_VALUES.has(i.row.semantic)) this.#loaded.set(local, place);
	}

	/** The local has been stored there. */
	stored(place: MemoryPlace, local: number): void {
		const value = this.#derived.get(local);
		if (value === undefined) return;
		for (const [reg, { number, offset }] of this.#values.entries()) {
			if (number === value.number && offset === value.offset) this.#setHome(reg, place);
		}
	}

	/** Registers that may have been in the bytes of a store are there no longer. */
	overwritten(place: MemoryPlace): void {
		for (const [reg, home] of this.#homes) {
			const apart = place.offset + place.size / 8 <= home.offset || home.offset + 8 <= place.offset;
			if (home.host !== place.host || !apart) this.#homes.delete(reg);
		}
	}

	#setHome(reg: number, home: MemoryPlace | undefined): void {
		if (home?.size === 64) this.#homes.set(reg, home);
		else this.#homes.delete(reg);
	}

	/** The host may have written to memory. */
	forgetHomes(): void {
		this.#homes.clear();
	}

	homes(): ReadonlyMap<number, MemoryPlace> {
		return this.#homes;
	}

	// ---- addresses ----

	/** The local is the address of the operand; `adjusted`: plus something else. */
	addressed(operand: MemoryOperand, adjusted: boolean, local: number): void {
		const { base, index, scale, gs } = operand;
		const distance = Number(BigInt.asIntN(64, operand.disp));
		const segment = gs ? " gs" : "";
		if (adjusted || operand.address32 || !Number.isSafeInteger(distance)) {
			this.#where.set(local, this.#elsewhere(`${base} ${index} ${scale}${segment} odd`));
			return;
		}
		const [first, second] = [this.#valueOf(base), this.#valueOf(index)];
		const offset = first.offset + second.offset * scale + distance;
		const constant = base < 0 && index < 0;
		const isInitial = (reg: number): boolean => reg < 0 || this.#values[reg]!.number === reg;
		this.#where.set(local, {
			registers: `${base} ${index} ${scale}${segment}`,
			values: `${first.number} ${second.number} ${scale}${segment}`,
			offset,
			absolute: constant && !gs ? BigInt.asUintN(64, operand.disp) : undefined,
			early: !constant && !gs && isInitial(base) && isInitial(index) ? operand : undefined,
		});
		if (base >= 0 && index < 0 && !gs) this.#derived.set(local, { number: first.number, offset });
	}

	/** How the address in the local is made. */
	where(local: number): Where {
		return this.#where.get(local) ?? this.#elsewhere("odd");
	}

	#valueOf(reg: number): Value {
		return reg < 0 ? { number: -1, offset: 0 } : this.#values[reg]!;
	}

	/** An address at no known distance from any other. */
	#elsewhere(registers: string): Where {
		return { registers, values: `odd ${this.#fresh().number}`, offset: 0, absolute: undefined, early: undefined };
	}
}
