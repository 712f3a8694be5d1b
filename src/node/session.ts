import { stringify } from "yaml";
import { cloneHint, KlpemuError, suggest } from "../base/index.js";
import { designs } from "../designs/index.js";
import { GuestMemory, toPointer } from "../linux/guest/index.js";
import type { Machine } from "../machine/index.js";
import { type Kaddr, toU64 } from "../memory/index.js";
import { type Report, type ReportStep, type ReportTask, renderReport } from "../report/index.js";
import {
	CALL_ROUNDS,
	createScenarioMachine,
	type LivepatchInput,
	type LoadedKernelObject,
	loadObjects,
	parseScenario,
	type RawStep,
	type Scenario,
	type ScenarioInput,
	ScenarioRun,
	type TaskInput,
} from "../scenario/index.js";
import { kernelLayoutFor } from "./kernel/index.js";
import { type SessionHost, sessionHost } from "./session-host.js";

/** Where functions come from: C as text, or files as in a scenario (.c, .S, .o, .ko), relative to the current folder. */
export interface SessionSources {
	/** C code, compiled by gcc. */
	readonly c?: string;
	readonly sources?: readonly string[];
}

/** What a machine is made of. All keys but `c` are those of a scenario file. */
export interface SessionOptions
	extends SessionSources,
		Partial<
			Pick<ScenarioInput, "title" | "design" | "cpu" | "cpus" | "preemption" | "seed" | "hz" | "ibt" | "memory">
		> {
	/** Tasks that call functions again and again, by name. */
	readonly tasks?: Readonly<Record<string, TaskInput>>;
	/** The release of the kernel whose .ko files can be modules and livepatches: `6.12.117+deb12-cloud-amd64`. */
	readonly kernel?: string;
	/** Gets the warnings of gcc; default: they go to stderr. */
	readonly warn?: (text: string) => void;
}

/** A livepatch: the keys of a scenario file, its name and its C code. */
export interface SessionLivepatch extends SessionSources, Omit<LivepatchInput, "sources"> {
	/** Default: `lp1`, `lp2`, ... */
	readonly name?: string;
	/** The expected result of klp_enable_patch(): `"EBUSY"`, -16; default 0. */
	readonly errno?: string | number;
}

/** An argument of a guest function: a number of 64 bits; a text, as a C string; bytes, which the function may change. */
export type GuestArgument = number | bigint | string | Uint8Array;

/** The task that makes calls for which no task is named. */
const CALLER = "caller";
const DESIGN_NAMES = designs.map(({ name }) => name);

/**
 * Makes a machine whose vmlinux is the given code, for a test or another program: without a scenario file.
 *
 * ```ts
 * const m = await machine({ c: "long price(long x) { return x * 10; }" });
 * m.call("price", 10); // 100n
 * await m.livepatch({ c: "long lp_price(long x) { return x * 9; }", funcs: { price: "lp_price" } });
 * m.settle();
 * m.call("price", 10); // 90n
 * ```
 *
 * Throws what parseScenario(), gcc and the loader throw: a KlpemuError.
 */
export async function machine(options: SessionOptions): Promise<Session> {
	const { c, sources, warn, kernel, tasks = {}, ...keys } = options;
	const host = sessionHost(warn);
	const vmlinux = host.sources("vmlinux", { c, sources });
	const definition = {
		title: "a machine without a scenario file",
		...keys,
		vmlinux: ["asm/vmlinux/kernel.c", ...vmlinux],
		livepatches: {},
		modules: {},
		tasks: { [CALLER]: { idle: true }, ...tasks },
	};
	const scenario = read(definition, [STATE]);
	const kernelLayout = kernel === undefined ? undefined : await kernelLayoutFor(kernel, "module.ko");
	const run = { host, kernelLayout, seed: keys.seed };
	const { machine, objects } = await createScenarioMachine(scenario, run);
	return new Session(machine, definition, host, new ScenarioRun(scenario, machine, objects, run, undefined));
}

/** A scenario has at least one step. */
const STATE = { state: "start" } as const;

type Definition = Pick<ScenarioInput, "title" | "vmlinux"> & {
	livepatches: Record<string, LivepatchInput>;
	modules: Record<string, { sources: string[] }>;
	tasks: Record<string, TaskInput>;
};

function read(definition: Definition, steps: readonly RawStep[]): Scenario {
	// The text of a scenario file, so that a mistake gets the same message as there. The place in it says nothing.
	const text = stringify({ ...definition, steps });
	try {
		return parseScenario(text, "machine()", { designs: DESIGN_NAMES });
	} catch (error) {
		if (!(error instanceof KlpemuError)) throw error;
		throw new KlpemuError(error.code, error.reason, { hint: error.hint, cause: error });
	}
}

/**
 * A machine that a program drives: livepatches, modules and tasks are added, calls and steps are made, one after another. The invariants
 * are checked all the time, as for a scenario. {@link machine} makes one.
 */
export class Session {
	/** The machine itself, for all that this class has no member for. */
	readonly machine: Machine;
	readonly #definition: Definition;
	readonly #host: SessionHost;
	readonly #run: ScenarioRun;
	readonly #memory: GuestMemory;
	/** The steps that declare or end tasks: later steps are read behind them. */
	readonly #declaring: RawStep[] = [];

	/** Use {@link machine}. */
	constructor(machine: Machine, definition: Definition, host: SessionHost, run: ScenarioRun) {
		this.machine = machine;
		this.#definition = definition;
		this.#host = host;
		this.#run = run;
		this.#memory = new GuestMemory(machine.memory);
	}

	// ---- adding ----

	/** Adds a module, and loads it. Throws `SESSION_STEP` if the kernel refuses it. */
	async module(name: string, code: SessionSources): Promise<void> {
		const sources = [...this.#host.sources(name, code)];
		await this.#declare({ modules: { [name]: { sources } } });
		this.step({ insmod: name });
	}

	/**
	 * Adds a livepatch, loads and enables it. Returns its name. The transition then runs: {@link settle} waits for its end.
	 * Throws `SESSION_STEP` with the kernel's messages if the result is not 0 (`errno`: not that).
	 */
	async livepatch(livepatch: SessionLivepatch): Promise<string> {
		const { name = this.#newName(), errno = 0, c, sources, ...keys } = livepatch;
		const files = this.#host.sources(name, { c, sources });
		await this.#declare({ livepatches: { [name]: { ...keys, sources: files } } });
		this.step({ insmod: name, errno });
		return name;
	}

	/** Adds a task, which calls functions again and again from now on: the keys of one of `tasks` of a scenario file. */
	async task(name: string, task: TaskInput): Promise<void> {
		await this.#declare({ tasks: { [name]: task } });
	}

	#newName(): string {
		const taken = this.#definition.livepatches;
		for (let i = 1; ; i++) if (taken[`lp${i}`] === undefined) return `lp${i}`;
	}

	/** Declares more, as a longer scenario file would. If that is a mistake, nothing has changed. */
	async #declare(more: Partial<Definition>): Promise<void> {
		const definition = this.#definition;
		const longer: Definition = {
			...definition,
			livepatches: { ...definition.livepatches, ...more.livepatches },
			modules: { ...definition.modules, ...more.modules },
			tasks: { ...definition.tasks, ...more.tasks },
		};
		const scenario = read(longer, [...this.#declaring, STATE]);
		const objects = await loadObjects(scenario, this.#host.files, this.#host.loadObject);
		this.#checkKernel(objects.kernelObjects);
		this.#run.extend(scenario, objects);
		Object.assign(definition, longer);
	}

	/** A .ko needs the layout of its kernel, which a machine gets when it is made. */
	#checkKernel(found: readonly LoadedKernelObject[]): void {
		const { layout } = this.machine.loader;
		const other = found.find(({ ko }) => ko.release !== layout?.release);
		if (other === undefined) return;
		const { release, object } = other.ko;
		const has = layout === undefined ? "has none" : `is of ${layout.release}`;
		throw new KlpemuError("SESSION_KERNEL", `'${object.fileName}' is of Linux ${release}, and the machine ${has}`, {
			hint: `machine({ kernel: "${release}", ... })`,
		});
	}

	// ---- acting ----

	/**
	 * Makes a step of a scenario file: `"settle"`, `{ disable: "lp1" }`, `{ fork: { parent, child } }`, `{ expect: { ... } }`.
	 * Returns its entry of the report. Throws `SESSION_STEP` if it does not end as expected: `{ insmod: "lp2", errno: "EBUSY" }`
	 * expects a result.
	 */
	step(step: RawStep): ReportStep {
		const { steps } = read(this.#definition, [...this.#declaring, step]);
		const entry = this.#run.step(steps.at(-1)!);
		if (typeof step === "object" && ("fork" in step || "exit" in step)) this.#declaring.push(step);
		const failures = this.report().failures.filter((failure) => failure.step === entry.index);
		if (failures.length === 0) return entry;
		const why = failures.map(({ message }) => message).join("; ");
		throw new KlpemuError(
			"SESSION_STEP",
			[`${entry.action}: ${why}`, ...entry.dmesg, ...(entry.hints ?? [])].join("\n  "),
		);
	}

	/** Runs until no transition is in progress. Throws `SESSION_STEP`, with the tasks that hold it up. `rounds`: default 10,000. */
	settle(rounds?: number): void {
		this.step(rounds === undefined ? "settle" : { settle: { rounds } });
	}

	/** Runs a number of rounds: in each, every CPU runs one slice of a task. */
	run(rounds: number): void {
		this.step({ run: rounds });
	}

	/** Lets the task `caller` call a function, with up to six arguments; returns all 64 bits of rax. */
	call(func: string, ...args: readonly GuestArgument[]): bigint {
		return this.callAs(CALLER, func, ...args);
	}

	/**
	 * The same in another task: it runs the implementation that its patch_state selects. Throws `SESSION_CALL` if the call does
	 * not return within 10,000 rounds, or the task dies in it.
	 */
	callAs(task: string, func: string, ...args: readonly GuestArgument[]): bigint {
		const { machine } = this;
		const words = args.map((arg) => this.#argument(arg));
		const caller = this.#task(task);
		const result = machine.tasks.callOnce(
			caller,
			this.#address(func),
			CALL_ROUNDS,
			words.map(({ word }) => word),
		);
		for (const { address, bytes } of words) {
			if (address === undefined) continue;
			if (bytes !== undefined) bytes.set(machine.memory.read(address, bytes.length));
			machine.heap.kfree(address);
		}
		if (result !== undefined) return result;
		const reason = caller.oops ?? `it does not return within ${CALL_ROUNDS} rounds`;
		throw new KlpemuError("SESSION_CALL", `${func}() in task '${task}': ${reason}`);
	}

	#argument(arg: GuestArgument): { readonly word: bigint; readonly address?: Kaddr; readonly bytes?: Uint8Array } {
		if (typeof arg === "bigint") return { word: arg };
		if (typeof arg === "number") {
			if (Number.isSafeInteger(arg)) return { word: BigInt(arg) };
			throw new KlpemuError("SESSION_CALL", `the argument ${arg} is not a whole number`, {
				hint: "beyond 2^53, use a bigint",
			});
		}
		const bytes = typeof arg === "string" ? new TextEncoder().encode(`${arg}\0`) : arg;
		const address = this.#alloc(bytes.length);
		this.machine.memory.write(address, bytes);
		return { word: toU64(address), address, ...(typeof arg !== "string" && { bytes: arg as Uint8Array }) };
	}

	// ---- looking ----

	/** The implementation of each patched function that a task runs now: `{ funcA: "lp2_funcA", funcB: "original" }`. */
	see(task: string = CALLER): Readonly<Record<string, string>> {
		return this.state(task).view;
	}

	/** patch_state, TIF_PATCH_PENDING, place and view of a task. Throws `SESSION_NO_TASK`. */
	state(task: string): ReportTask {
		const found = this.#run.tasks()[task];
		if (found !== undefined) return found;
		throw this.#noTask(task);
	}

	/** True if a transition is in progress. */
	get inTransition(): boolean {
		return this.machine.klp.inTransition !== undefined;
	}

	/** Everything that has happened until now, as `klpemu run --json` gives it. */
	report(): Report {
		return this.#run.report();
	}

	/**
	 * The same as text, for people and for snapshots (`toMatchInlineSnapshot()`): the same calls give the same text on every machine and
	 * terminal. `width`: columns, default 100.
	 */
	timeline(width?: number): string {
		return renderReport(this.report(), width === undefined ? {} : { width });
	}

	/** What the kernel has printed. */
	get dmesg(): readonly string[] {
		return this.machine.dmesg.lines();
	}

	#task(name: string) {
		const task = this.machine.sched.tasks.find(({ comm }) => comm === name);
		if (task !== undefined) return task;
		throw this.#noTask(name);
	}

	#noTask(name: string): KlpemuError {
		const known = Object.keys(this.#run.tasks());
		if (known.includes(name)) {
			return new KlpemuError("SESSION_NO_TASK", `the task '${name}' has ended, or died in an oops`, {
				hint: "dmesg says why it died; another task or another machine can go on",
			});
		}
		const hint = suggest(name, "tasks", known);
		return new KlpemuError("SESSION_NO_TASK", `there is no task '${name}'`, { hint });
	}

	// ---- memory ----

	/** The address of a function or variable. Throws `SESSION_NO_SYMBOL`. */
	address(symbol: string): bigint {
		return toU64(this.#address(symbol));
	}

	#address(symbol: string): Kaddr {
		const { vmlinux, modules } = this.machine;
		for (const image of [vmlinux, ...[...modules.values()].map((mod) => mod.image)]) {
			const found = image.symbol(symbol);
			if (found !== undefined) return found.address;
		}
		const names = [vmlinux, ...[...modules.values()].map((mod) => mod.image)].flatMap((image) => image.symbols);
		throw new KlpemuError("SESSION_NO_SYMBOL", `there is no function or variable '${symbol}'`, {
			hint:
				cloneHint(
					symbol,
					names.map(({ name }) => name),
				) ?? "it may be static and inlined (noinline keeps it), or its module is not loaded",
		});
	}

	/** New zeroed memory of the guest's heap; `free()` gives it back. Throws `HEAP_FULL`. */
	alloc(bytes: number): bigint {
		return toU64(this.#alloc(bytes));
	}

	#alloc(bytes: number): Kaddr {
		const address = this.machine.heap.kmalloc(bytes, true);
		if (address === 0) throw new KlpemuError("HEAP_FULL", `no memory for ${bytes} bytes`);
		return address;
	}

	/** Throws `SESSION_ADDRESS` for an address that alloc() has not given, `GUEST_FAULT` for one outside of the kernel. */
	free(address: bigint): void {
		if (this.machine.heap.kfree(toPointer(address))) return;
		throw new KlpemuError("SESSION_ADDRESS", `nothing is allocated at 0x${address.toString(16)}`);
	}

	/** Bytes of guest memory. Throws `GUEST_FAULT` where nothing can be read. */
	read(address: bigint, length: number): Uint8Array {
		return this.#memory.bytes(address, length);
	}

	/**
	 * Writes guest memory, even if it is read-only for the guest. Code that is overwritten is executed as it is then. Throws `GUEST_FAULT`
	 * for an address outside of the kernel, `MEMORY_UNMAPPED`.
	 */
	write(address: bigint, bytes: Uint8Array): void {
		const at = toPointer(address);
		this.machine.memory.write(at, bytes);
		this.machine.icache.flush_icache_range(at, bytes.length);
	}

	/** The C string at an address. Throws `GUEST_FAULT` where nothing can be read. */
	string(address: bigint): string {
		return this.#memory.string(address);
	}

	/** Frees the Cpu's memory outside JavaScript. */
	close(): void {
		this.machine.close();
	}
}
