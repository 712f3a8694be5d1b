import { Session } from "node:inspector";
import { AccessesAt } from "../../src/cpu/x86/index.js";
import type { Machine } from "../../src/machine/index.js";

/**
 * Every field of every object that can be reached from a machine, `#` ones included, and all guest memory: `path = value` each.
 * Two dumps of machines that are alike are the same lines. Left out: the Cpu (its state is memory and registers), observers, and
 * what functions have captured, and what is decoded of the bytes in memory.
 */
export function dumpMachine(machine: Machine): string[] {
	return new Dump(machine).lines;
}

/** The first lines in which two dumps differ; undefined: they do not. */
export function difference(before: readonly string[], after: readonly string[]): string | undefined {
	const at = before.findIndex((line, index) => line !== after[index]);
	if (at < 0 && before.length === after.length) return undefined;
	const index = at < 0 ? before.length : at;
	return `${before[index]} | ${after[index]}`;
}

class Dump {
	readonly lines: string[] = [];
	readonly #machine: Machine;
	readonly #numbers = new Map<object, number>();
	readonly #privates = new PrivateFields();

	constructor(machine: Machine) {
		this.#machine = machine;
		try {
			this.#memory();
			this.lines.push(`registers = ${machine.cpu.state.words.join()}`);
			this.#value("machine", machine);
		} finally {
			this.#privates.close();
		}
	}

	#memory(): void {
		const { memory } = this.#machine;
		for (const region of memory.regions) {
			const { name, address, length, offset, perm } = region;
			const bytes = Buffer.from(memory.buffer, offset, length);
			// Most pages are zero: only the others are told.
			for (let at = 0; at < length; at += 256) {
				const line = bytes.toString("hex", at, at + 256);
				if (/[^0]/.test(line)) this.lines.push(`${name} ${address}+${at} = ${line}`);
			}
			this.lines.push(`region ${name} ${address} = ${length} ${offset} ${perm} ${memory.permissions(address)}`);
		}
		for (const field of ["#free", "#nextFrame"]) {
			this.#value(`memory.${field}`, this.#privates.of(memory).find(([name]) => name === field)![1]);
		}
	}

	#value(path: string, value: unknown): void {
		if (typeof value === "function") this.lines.push(`${path} = function`);
		else if (typeof value !== "object" || value === null) this.lines.push(`${path} = ${String(value)}`);
		else {
			const { cpu, memory, observers } = this.#machine;
			if ([cpu, memory, observers].some((other) => other === (value as unknown)) || value instanceof AccessesAt) return;
			const known = this.#numbers.get(value);
			this.lines.push(`${path} = object ${known ?? this.#numbers.size}`);
			if (known !== undefined) return;
			this.#numbers.set(value, this.#numbers.size);
			this.#object(path, value);
		}
	}

	#object(path: string, object: object): void {
		if (ArrayBuffer.isView(object)) {
			if (object.buffer !== this.#machine.memory.buffer)
				this.lines.push(`${path} = ${[...(object as Uint8Array)].join()}`);
		} else if (Array.isArray(object) || object instanceof Set) {
			let index = 0;
			for (const item of object) this.#value(`${path}[${index++}]`, item);
		} else if (object instanceof Map) {
			let index = 0;
			for (const [key, value] of object) {
				this.#value(`${path}{${index}}`, key);
				this.#value(`${path}[${index++}]`, value);
			}
		} else {
			for (const [name, value] of Object.entries(object)) this.#value(`${path}.${name}`, value);
			for (const [name, value] of this.#privates.of(object)) this.#value(`${path}.${name}`, value);
		}
	}
}

/** Reads the `#` fields of objects, which only a debugger can see from outside of their class. */
class PrivateFields {
	readonly #session = new Session();
	/** Whether objects of a class can have `#` fields, by its text. */
	readonly #has = new Map<unknown, boolean>();

	constructor() {
		this.#session.connect();
	}

	close(): void {
		this.#session.disconnect();
	}

	of(object: object): [string, unknown][] {
		if (!this.#mayHave(Object.getPrototypeOf(object))) return [];
		Object.assign(globalThis, { dumped: object });
		const { result } = this.#post("Runtime.evaluate", { expression: "globalThis.dumped" }) as { result: Remote };
		const { privateProperties = [] } = this.#post("Runtime.getProperties", {
			objectId: result.objectId,
			ownProperties: true,
		}) as { privateProperties?: { name: string; value?: Remote }[] };
		// Accessors have no value here.
		const fields = privateProperties.flatMap(({ name, value }) =>
			value === undefined || value.type === "function" ? [] : [{ name, value }],
		);
		const values = this.#local(fields.map(({ value }) => value));
		return fields.map(({ name }, index) => [name, values[index]]);
	}

	#mayHave(prototype: object | null): boolean {
		if (prototype === null || prototype === Object.prototype) return false;
		const { constructor: type } = prototype;
		let has = this.#has.get(type);
		if (has === undefined) {
			has = /#\w/.test(String(type)) || this.#mayHave(Object.getPrototypeOf(prototype));
			this.#has.set(type, has);
		}
		return has;
	}

	/** The values that the debugger means. */
	#local(remotes: readonly Remote[]): unknown[] {
		const { objectId } = remotes.find((remote) => remote.objectId !== undefined) ?? {};
		if (objectId === undefined) return remotes.map(({ value, unserializableValue }) => value ?? unserializableValue);
		this.#post("Runtime.callFunctionOn", {
			objectId,
			functionDeclaration: "function (...values) { globalThis.dumped = values; }",
			arguments: remotes.map(({ objectId, value, unserializableValue }) => ({ objectId, value, unserializableValue })),
		});
		return (globalThis as unknown as { dumped: unknown[] }).dumped;
	}

	#post(method: string, params: object): unknown {
		let answer: unknown;
		this.#session.post(method, params, (error, result) => {
			if (error !== null) throw error;
			answer = result;
		});
		return answer;
	}
}

interface Remote {
	readonly type: string;
	readonly objectId?: string;
	readonly value?: unknown;
	readonly unserializableValue?: string;
}
