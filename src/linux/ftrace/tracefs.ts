import type { Kaddr } from "../../memory/index.js";
import { EINVAL, type Kernel } from "../lib/index.js";
import type { EnabledFunctions } from "./enabled-functions.js";
import type { Ftrace } from "./ftrace.js";
import { type dyn_ftrace, FTRACE_FL } from "./ops.js";
import type { Symbols } from "./symbols.js";
import { type FunctionTracer, TRACERS } from "./tracer.js";

interface File {
	readonly mode: number;
	show(): string[];
	store?(value: string): Kernel<number>;
}

/** The files of /sys/kernel/tracing that belong to the function tracer. Paths are relative to it. */
export class Tracefs {
	readonly #ftrace: Ftrace;
	readonly #tracer: FunctionTracer;
	readonly #symbols: Symbols;
	readonly #files: ReadonlyMap<string, File>;

	constructor(ftrace: Ftrace, tracer: FunctionTracer, symbols: Symbols, functions: EnabledFunctions) {
		this.#ftrace = ftrace;
		this.#tracer = tracer;
		this.#symbols = symbols;
		const { global_ops } = tracer;
		this.#files = new Map<string, File>([
			["available_filter_functions", { mode: 0o444, show: () => this.#records().map(([, name]) => name) }],
			["available_tracers", { mode: 0o444, show: () => [TRACERS.join(" ")] }],
			[
				"current_tracer",
				{
					mode: 0o644,
					show: () => [tracer.current_tracer],
					store: (value) => tracer.tracing_set_tracer(value.trim()),
				},
			],
			["enabled_functions", { mode: 0o444, show: () => functions.enabled() }],
			["touched_functions", { mode: 0o444, show: () => functions.touched() }],
			[
				"set_ftrace_filter",
				{
					mode: 0o644,
					show: () => this.#filter(global_ops.filter_hash, "#### all functions enabled ####"),
					store: (value) => this.#set(value, false),
				},
			],
			[
				"set_ftrace_notrace",
				{
					mode: 0o644,
					show: () => this.#filter(global_ops.notrace_hash, "#### no functions disabled ####"),
					store: (value) => this.#set(value, true),
				},
			],
			[
				"set_graph_function",
				{
					mode: 0o644,
					show: () => this.#filter(tracer.graphTracer.graph_hash, "#### all functions enabled ####"),
					store: (value) => this.#setGraph(value),
				},
			],
			[
				"trace",
				{ mode: 0o640, show: () => tracer.show((address) => this.#symbols.name(address)), store: () => this.#clear() },
			],
			[
				"tracing_on",
				{ mode: 0o644, show: () => [String(Number(tracer.tracing_on))], store: (value) => this.#tracing_on(value) },
			],
		]);
	}

	paths(): string[] {
		return [...this.#files.keys()];
	}
	/** Permission bits; undefined: there is no such file. */
	mode(path: string): number | undefined {
		return this.#files.get(path)?.mode;
	}
	*read(path: string): Kernel<string | number> {
		yield "tracing_read";
		return this.#files
			.get(path)!
			.show()
			.map((line) => `${line}\n`)
			.join("");
	}
	write(path: string, value: string): Kernel<number> {
		return this.#files.get(path)!.store!(value);
	}

	/** The entries of `trace`, without its header. */
	lines(): string[] {
		return this.#tracer.lines((address) => this.#symbols.name(address));
	}

	#records(): [dyn_ftrace, string][] {
		const records = [...this.#ftrace.records.values()].sort((a, b) => a.ip - b.ip);
		return records.map((rec) => [rec, this.#symbols.name(rec.ip)]);
	}

	#filter(sites: ReadonlySet<Kaddr>, empty: string): string[] {
		if (sites.size === 0) return [empty];
		return this.#records().flatMap(([{ ip }, name]) => (sites.has(ip) ? [name] : []));
	}

	/** The sites of the functions whose names a glob matches. */
	sitesOf(pattern: string): Kaddr[] {
		return this.#records().flatMap(([{ ip, flags }, name]) => {
			return !(flags & FTRACE_FL.DISABLED) && glob(pattern, name.split(" ")[0]!) ? [ip] : [];
		});
	}

	/**
	 * `echo ... >` of functions or globs, which replaces the whole filter; an empty text clears it. -EINVAL if one of
	 * them matches no function; the filter does not change then.
	 */
	*#set(value: string, notrace: boolean): Kernel<number> {
		const { filter_hash, notrace_hash } = this.#tracer.global_ops;
		const sites = this.#parse(value);
		if (sites === undefined) return -EINVAL;
		return yield* notrace ? this.#tracer.setFilters(filter_hash, sites) : this.#tracer.setFilters(sites, notrace_hash);
	}

	/** The sites of functions and globs; undefined: one of them matches no function. */
	#parse(value: string): Set<Kaddr> | undefined {
		const patterns = value.split(/\s+/).filter((word) => word !== "");
		const hits = patterns.map((pattern) => this.sitesOf(pattern));
		return hits.some(({ length }) => length === 0) ? undefined : new Set(hits.flat());
	}

	/** set_graph_function: calls that are in progress are not looked at again. */
	*#setGraph(value: string): Kernel<number> {
		const sites = this.#parse(value);
		if (sites === undefined) return -EINVAL;
		this.#tracer.graphTracer.graph_hash = sites;
		yield "ftrace_graph_write: rcu_assign_pointer";
		return 0;
	}

	*#clear(): Kernel<number> {
		this.#tracer.clear();
		yield "tracing_open: O_TRUNC";
		return 0;
	}

	*#tracing_on(value: string): Kernel<number> {
		if (!/^\s*\d+\s*$/.test(value)) return -EINVAL;
		this.#tracer.tracing_on = Number(value) !== 0;
		yield "rb_simple_write";
		return 0;
	}
}

/** The globs of ftrace: `*` stands for any characters. */
function glob(pattern: string, name: string): boolean {
	const literal = (text: string) => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&");
	return new RegExp(`^${pattern.split("*").map(literal).join(".*")}$`).test(name);
}
