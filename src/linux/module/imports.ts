import { declareState } from "../../base/index.js";
import type { Image } from "../../elf/index.js";
import type { Kaddr } from "../../memory/index.js";
import { EINVAL, ENOENT, type Printer } from "../lib/index.js";
import { isGplOnly } from "./licence.js";

interface Importer {
	readonly name: string;
	/** Its licence is not compatible with the GPL. */
	readonly proprietary: boolean;
	/** MODULE_IMPORT_NS() */
	readonly namespaces: readonly string[];
}

/** A loaded module. */
interface Exporter {
	readonly name: string;
	readonly image: Image;
	readonly proprietary: boolean;
}

/** The symbols of others that one module uses, as resolve_symbol() finds them (kernel/module/main.c). */
export class Imports<Owner extends Exporter> {
	/** Nobody keeps it when the module is linked. */
	static readonly state = declareState("Imports", { fields: [], unkeyed: ["found", "errnos", "needs", "is"] });

	readonly #module: Importer;
	readonly #find: (symbol: string) => Kaddr | undefined;
	readonly #modules: ReadonlyMap<string, Owner>;
	readonly #print: Printer;
	private readonly found = new Map<string, Kaddr | undefined>();
	private readonly errnos = new Map<string, number>();
	/** Their reference counts keep them while this module is there. */
	readonly needs = new Set<Owner>();
	private readonly is: { proprietary: boolean; usesGplOnly: boolean };

	/** `find`: the address of a symbol, whoever may use it. */
	constructor(
		module: Importer,
		find: (symbol: string) => Kaddr | undefined,
		modules: ReadonlyMap<string, Owner>,
		print: Printer,
	) {
		this.#module = module;
		this.#find = find;
		this.#modules = modules;
		this.#print = print;
		this.is = { proprietary: module.proprietary, usesGplOnly: false };
	}

	/** By its licence, or because it uses a symbol of a module that is. */
	get proprietary(): boolean {
		return this.is.proprietary;
	}

	/** Undefined: there is no such symbol, or the module may not use it. */
	resolve(symbol: string): Kaddr | undefined {
		if (!this.found.has(symbol)) this.found.set(symbol, this.#resolve(symbol));
		return this.found.get(symbol);
	}

	/** Those that are in a name space that the module does not import: an error for a weak symbol, too. */
	get refused(): string[] {
		return [...this.errnos.keys()];
	}

	/** Why a symbol is not there: a negative errno. */
	errno(symbol: string): number {
		return this.errnos.get(symbol) ?? -ENOENT;
	}

	/** verify_exported_symbols(): false, with a message, if another module exports one of these names. */
	areNew(exported: Image["exports"]): boolean {
		for (const symbol of exported?.keys() ?? []) {
			const owner = [...this.#modules.values()].find(({ image }) => image.exports?.has(symbol));
			if (owner === undefined) continue;
			this.#print.pr_err(`${this.#module.name}: exports duplicate symbol ${symbol} (owned by ${owner.name})`);
			return false;
		}
		return true;
	}

	#resolve(symbol: string): Kaddr | undefined {
		const address = this.#find(symbol);
		if (address === undefined) return undefined;
		const owner = [...this.#modules.values()].find(({ image }) => image.contains(address));
		const exported = owner?.image.exports?.get(symbol);
		const gplOnly = owner === undefined ? isGplOnly(symbol) : exported?.gplOnly === true;
		if (gplOnly && this.is.proprietary) return undefined;
		if (gplOnly) this.is.usesGplOnly = true;
		if (owner === undefined) return address;
		if (!this.#inherit_taint(owner, symbol) || !this.#isImported(symbol, exported?.namespace ?? "")) return undefined;
		this.needs.add(owner);
		return address;
	}

	#inherit_taint(owner: Owner, symbol: string): boolean {
		if (!owner.proprietary) return true;
		const { name } = this.#module;
		if (this.is.usesGplOnly) {
			this.#print.pr_err(
				`${name}: module using GPL-only symbols uses symbols ${symbol} from proprietary module ${owner.name}.`,
			);
			return false;
		}
		if (!this.is.proprietary) {
			this.#print.pr_warn(
				`${name}: module uses symbols ${symbol} from proprietary module ${owner.name}, inheriting taint.`,
			);
			this.is.proprietary = true;
		}
		return true;
	}

	/** verify_namespace_is_imported() */
	#isImported(symbol: string, namespace: string): boolean {
		const { name, namespaces } = this.#module;
		if (namespace === "" || namespaces.includes(namespace)) return true;
		this.#print.pr_err(`${name}: module uses symbol (${symbol}) from namespace ${namespace}, but does not import it.`);
		this.errnos.set(symbol, -EINVAL);
		return false;
	}
}
