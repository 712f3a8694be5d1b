import { KlpemuError } from "../../base/index.js";
import { type Cpu, functionOfGate, isGateEntry, RIP, RSP, type Stop } from "../../cpu/index.js";
import { AccessesAt, type MemoryAccess } from "../../cpu/x86/index.js";
import { type CallStepper, runGuest } from "../../linux/guest/index.js";
import type { Point } from "../../linux/lib/index.js";
import { THREAD_SIZE, type task_struct } from "../../linux/sched/index.js";
import type { Machine } from "../../machine/index.js";
import type { Kaddr } from "../../memory/index.js";
import type { TaskProbe } from "./probe.js";
import type { SharedMemory } from "./shared-memory.js";
import { isData } from "./task-data.js";

/** Instructions from one point to the next. */
const LIMIT = 1_000_000;

/**
 * Gates whose effect no other actor or task can see, except through memory: there each access is noted as if guest code had made it.
 * That a lock is given back enables others; it never stops them.
 */
const PRIVATE_GATES: ReadonlySet<string> = new Set([
	...[
		"_printk",
		"__warn_printk",
		"__dynamic_pr_debug",
		"printk",
		"sysfs_emit",
		"sprintf",
		"snprintf",
		"scnprintf",
		"sscanf",
	],
	...["kmalloc", "kzalloc", "krealloc", "kfree", "kstrdup", "__kmalloc_noprof", "__kmalloc_cache_noprof"],
	...["__rcu_read_lock", "__rcu_read_unlock", "ftrace_location", "kallsyms_lookup_size_offset", "__stack_chk_fail"],
	...["mutex_unlock", "cpus_read_unlock", "return_to_host", "next_call"],
	...["_raw_spin_unlock", "_raw_spin_unlock_irq", "_raw_spin_unlock_bh", "_raw_spin_unlock_irqrestore"],
]);
/**
 * Gates that take a lock. Between this and the next access others can do nothing that they could not have done before, unless somebody
 * looks at locks without waiting for them. The next gate is a point all the same: there the holder may have to wait, for another holder.
 */
const ACQUIRE: ReadonlySet<string> = new Set([
	...["mutex_lock", "cpus_read_lock", "_raw_spin_lock", "_raw_spin_lock_irq", "_raw_spin_lock_bh"],
	"_raw_spin_lock_irqsave",
]);

/** Gates that take a lock and wait for it, or give it back. */
const isLock = (gate: string) => ACQUIRE.has(gate) || /unlock/.test(gate);

/** Gates of kernel functions that need a clock or random numbers, make tasks, or call a function later. */
const TIMED = new RegExp(
	`^(${[
		"kthread_\\w+|(mod|add)_timer|schedule_timeout\\w*|call_rcu|wait_for_completion_timeout|down_timeout",
		"(__)?get_random_\\w+",
	].join("|")})$`,
);

/** Where a runner is. */
export interface GuestPlace {
	/** Calls of guest code that it is in: its place there is in its registers and on its stack. */
	inGuest: number;
	/** The points that it has passed since its step began; of a loop only the last turn. */
	path: readonly string[];
	/** The gates that it is in, the innermost one at the end. */
	gates: readonly string[];
}

/** Whose code runs. */
export interface Runner {
	/** A number for each actor and each task. */
	readonly who: number;
	/** It holds klp_mutex. */
	holdsMutex(): boolean;
	/** For the places of an actor: see {@link CallStepper}. */
	readonly place: GuestPlace;
	readonly isTask: boolean;
}

/** Kernel code of the guest, one instruction at a time: each access to memory is noted, and the explorer stops before those that are shared. */
export class GuestCode implements CallStepper {
	readonly #machine: Machine;
	readonly #cpu: Cpu;
	readonly #shared: SharedMemory;
	readonly #probe: TaskProbe;
	readonly accesses: AccessesAt;
	readonly #broken: (message: string) => void;
	/** Told of each write by TypeScript in the move of a task. */
	hostWrites: (address: Kaddr, length: number) => void = () => {};
	/** Whose move it is; undefined: nobody's. */
	#runner: Runner | undefined = undefined;
	/** The move has not made a shared access yet. */
	#fresh = true;
	/** The move has taken a lock. */
	#acquired = false;
	#locked = false;
	#ended = false;
	/** The code that returns here cannot be interrupted by other tasks; 0: it can. */
	#atomicUntil: Kaddr = 0;

	/** `broken` is told of accesses to memory that is freed. */
	constructor(machine: Machine, shared: SharedMemory, probe: TaskProbe, broken: (message: string) => void) {
		this.#machine = machine;
		this.#cpu = machine.cpu;
		this.#shared = shared;
		this.#probe = probe;
		this.#broken = broken;
		this.accesses = new AccessesAt(machine.memory, (ip) => machine.klp.code?.contains(ip) === true);
		machine.calls.stepper = this;
		machine.memory.watchWrites((address, length) => this.#hostAccess(address, length, true));
	}

	/** Makes a move; everything that it does is noted. */
	as<T>(runner: Runner, move: () => T): T {
		const { memory } = this.#machine;
		this.#runner = runner;
		this.#shared.beginMove();
		this.#begin();
		this.#atomicUntil = 0;
		this.#ended = false;
		this.#lookAtLocks();
		memory.onGuestRead = (address, length) => this.#hostAccess(address, length, false);
		try {
			return move();
		} finally {
			memory.onGuestRead = undefined;
			this.#runner = undefined;
		}
	}

	#begin(): void {
		this.#fresh = true;
		this.#acquired = false;
	}

	#lookAtLocks(): void {
		this.#locked = this.#quietly(() => this.#runner?.holdsMutex() ?? false);
	}

	/** What the look reads is not noted. */
	#quietly<T>(look: () => T): T {
		const { memory } = this.#machine;
		const { onGuestRead } = memory;
		memory.onGuestRead = undefined;
		try {
			return look();
		} finally {
			memory.onGuestRead = onGuestRead;
		}
	}

	/** A transition has ended in the present move. */
	get transitionEnded(): boolean {
		return this.#ended;
	}

	// ---- CallStepper ----

	run(task: task_struct): Stop | { readonly kind: "point"; readonly point: Point } {
		this.#clearBelow(task);
		for (let i = 0; i < LIMIT; i++) {
			if (this.isPoint(task)) {
				// The code goes on with this access, in its next move, or at once if it is made in one go.
				this.#begin();
				return { kind: "point", point: this.#label() };
			}
			const stop = this.step(task);
			if (stop.kind !== "budget") return stop;
		}
		return { kind: "budget", executed: LIMIT };
	}

	/** What earlier calls have left below the stack pointer shows up in variables without a value: it must not tell states apart. */
	#clearBelow({ stack, regs }: task_struct): void {
		const { bytes } = this.#machine.memory;
		if (stack === undefined) return;
		const used = regs.kaddr(RSP) - Number(BigInt.asIntN(32, stack.address));
		if (used > 0 && used < stack.length) bytes.fill(0, stack.offset, stack.offset + used);
	}

	#label(): string {
		return this.#machine.symbols.sprint_symbol(this.#cpu.state.kaddr(RIP), true);
	}

	inGuest(step: 1 | -1): void {
		if (this.#runner !== undefined) this.#runner.place.inGuest += step;
		this.#lookAtLocks();
	}

	inGate(name: string | undefined): void {
		const place = this.#runner?.place;
		if (place === undefined) return;
		if (name !== undefined) {
			place.gates = [...place.gates, functionOfGate(name)];
			return;
		}
		// Points of the function may have ended the move in which it was called: its last effect is in the present one.
		this.#called(place.gates.at(-1)!);
		place.gates = place.gates.slice(0, -1);
		this.#lookAtLocks();
	}

	/** The function behind a gate has had an effect. */
	#called(gate: string): void {
		if (this.#acquires(gate)) this.#acquired = true;
		// Behind the end of a critical section, whose accesses are no points under klp_mutex, others may come first.
		else if (this.#visible(gate) || isLock(gate)) this.#fresh = false;
	}

	mark(): number {
		return this.#runner?.place.path.length ?? 0;
	}

	cut(mark: number, more?: string): void {
		const place = this.#runner?.place;
		if (place === undefined) return;
		place.path = [...place.path.slice(0, mark), ...(more === undefined ? [] : [more])];
	}

	// ---- instructions ----

	/** The next instruction is a shared access, and the move has made one already. */
	isPoint(task: task_struct): boolean {
		const ip = this.#cpu.state.kaddr(RIP);
		if (this.#atomicUntil !== 0) return false;
		const gate = this.#gateAt(ip);
		if (gate !== undefined)
			return isGateEntry(this.#machine.memory, ip) && this.#visible(gate) && (!this.#fresh || this.#acquired);
		return !this.#fresh && this.#touchesShared(task, ip);
	}

	#visible(gate: string): boolean {
		if (this.#shared.locksSeen && isLock(gate)) return true;
		return !PRIVATE_GATES.has(gate) || this.#shared.isGateShared(gate);
	}

	#acquires(gate: string): boolean {
		return ACQUIRE.has(gate) && !this.#shared.locksSeen;
	}

	#gateAt(ip: Kaddr): string | undefined {
		if (this.#machine.memory.entry(ip) === 0) return undefined;
		const gate = this.#machine.symbols.gateAt(ip);
		return gate === undefined ? undefined : functionOfGate(gate);
	}

	#touchesShared(task: task_struct, ip: Kaddr): boolean {
		const { state } = this.#cpu;
		for (const access of this.accesses.at(ip)) {
			const address = access.address(state);
			const length = access.length(state);
			if (length > 0 && !this.#isOwn(task, address) && this.#isPoint(address, length, access.writes)) return true;
		}
		return false;
	}

	#isPoint(address: Kaddr, length: number, writes: boolean): boolean {
		return this.#shared.isPoint(address, length, writes, this.#locked);
	}

	/** The memory is on the task's own stack, where others do not look. */
	#isOwn(task: task_struct, address: Kaddr): boolean {
		const { stack } = task;
		if (stack === undefined) return false;
		const low = Number(BigInt.asIntN(32, stack.address));
		return address >= low && address < low + THREAD_SIZE && !this.#shared.hasEscaped(address);
	}

	/** Executes one instruction. */
	step(task: task_struct): Stop {
		const ip = this.#cpu.state.kaddr(RIP);
		const gate = this.#gateAt(ip);
		if (gate !== undefined) return this.#passGate(gate, ip);
		this.#enterAtomic(ip);
		const written = this.#note(task, ip);
		const stop = runGuest(this.#cpu, 1);
		for (const write of written) write();
		if (this.#atomicUntil !== 0 && this.#cpu.state.kaddr(RIP) === this.#atomicUntil) this.#atomicUntil = 0;
		return stop;
	}

	/** A function during which other tasks cannot run. */
	#enterAtomic(ip: Kaddr): void {
		const { klp, memory, cpu } = this.#machine;
		if (this.#atomicUntil !== 0 || klp.code?.atomic.includes(ip) !== true) return;
		this.#fresh = false;
		this.#atomicUntil = memory.kaddr(cpu.state.kaddr(RSP));
	}

	#passGate(gate: string, ip: Kaddr): Stop {
		if (TIMED.test(gate)) {
			const { comm } = this.#machine.sched.current;
			throw new KlpemuError("EXPLORE_UNSUPPORTED", `${comm} calls ${gate}(): that cannot be explored`, {
				hint: "an exploration has no clock, no random numbers, and a fixed set of tasks; klpemu run does it",
			});
		}
		if (!isGateEntry(this.#machine.memory, ip)) return runGuest(this.#cpu, 1);
		this.inGate(gate);
		const stop = runGuest(this.#cpu, 1);
		this.inGate(undefined);
		return stop;
	}

	/** Notes the accesses of an instruction before it runs. What it returns is to be called afterwards. */
	#note(task: task_struct, ip: Kaddr): (() => void)[] {
		const after: (() => void)[] = [];
		const { state, memory } = this.#cpu;
		for (const access of this.accesses.at(ip)) {
			const address = access.address(state);
			const length = access.length(state);
			if (length === 0 || memory.entry(address) === 0 || this.#isOwn(task, address)) continue;
			if (this.#isForeignStack(address)) this.#shared.escapes(address);
			this.#checkHeap(task, ip, address, length, access.writes);
			this.#noteAccess(task, address, length, access, after);
		}
		return after;
	}

	#noteAccess(task: task_struct, address: Kaddr, length: number, access: MemoryAccess, after: (() => void)[]): void {
		const { who, isTask } = this.#runner!;
		const shared = this.#shared;
		const { reads, writes } = access;
		if (this.#isPoint(address, length, writes)) this.#fresh = false;
		shared.access(who, address, length, writes, this.#locked);
		const field = this.#machine.klp.code?.taskField(address);
		if (field !== undefined) {
			const [of, name] = field;
			// Its own preempt_count is a part of its place.
			if (of === task && name === "preempt_count") return;
			if (isTask && writes && of !== task) {
				throw new KlpemuError(
					"EXPLORE_UNSUPPORTED",
					`${task.comm} writes the ${name} of ${of.comm}: that cannot be explored`,
				);
			}
			if (reads) this.#probe.guestRead(of, name);
			if (writes) after.push(() => this.#probe.guestWrote(of, name));
			return;
		}
		if (reads) {
			shared.read(address, length, isTask);
			shared.looks(address, length);
		}
		if (!writes) return;
		this.#noteWrite(address, length);
		const { code } = this.#machine.klp;
		if (code?.transitionWords.includes(address)) {
			after.push(() => {
				this.#ended ||= this.#quietly(() => code.tellObservers());
			});
		}
	}

	/** The explorer lets tasks run on no certain CPU, so that no state can hold what a per-CPU variable has. */
	#noteWrite(address: Kaddr, length: number): void {
		if (this.#shared.perCpu(address) !== undefined) this.#shared.taskWrites(address, length);
		else this.#shared.write(address, length);
	}

	#isForeignStack(address: Kaddr): boolean {
		const { stacks } = this.#machine;
		return stacks.contains(address);
	}

	#checkHeap({ comm }: task_struct, ip: Kaddr, address: Kaddr, length: number, writes: boolean): void {
		const what = this.#machine.calls.heapCheck.problem(ip, address, length, writes);
		if (what !== undefined) this.#broken(`${comm}: ${what}`);
	}

	/** An access of TypeScript in the name of kernel code. */
	#hostAccess(address: Kaddr, length: number, writes: boolean): void {
		const runner = this.#runner;
		const shared = this.#shared;
		const field = this.#machine.klp.code?.taskField(address);
		if (writes && runner?.isTask) this.hostWrites(address, length);
		if (field !== undefined) return;
		// A place in guest code has its stack, above the stack pointer.
		if (runner !== undefined && this.#isOwn(this.#machine.sched.current, address)) return;
		if (writes && runner?.isTask && this.#machine.klp.code === undefined && isData(this.#machine, address))
			shared.taskWrites(address, length);
		// Without a call: the loader gives variables their first values.
		else if (writes && runner?.place.gates.length) this.#noteWrite(address, length);
		else if (writes) shared.write(address, length);
		if (runner === undefined) return;
		// What TypeScript itself keeps is state of the machine's objects.
		if (runner.place.inGuest === 0 && this.#machine.klp.code === undefined) {
			if (runner.isTask && !writes && isData(this.#machine, address)) shared.readForTask(address, length);
			return;
		}
		if (!writes) shared.read(address, length, runner.isTask);
		const gate = runner.place.gates.at(-1);
		// The lock of CPU hotplug is no memory of the guest.
		if (gate !== undefined && isLock(gate) && !gate.startsWith("cpus_")) shared.lock(address, length);
		else if (!writes) shared.looks(address, length);
		if (gate === undefined || (isLock(gate) && !shared.locksSeen)) return;
		shared.access(runner.who, address, length, writes, this.#locked);
		if (PRIVATE_GATES.has(gate) && this.#isPoint(address, length, writes)) shared.addGate(gate);
	}

	/** The values of shared words that the next instruction reads: a task's way may depend on them. */
	valuesRead(task: task_struct): string | undefined {
		const { state, memory } = this.#cpu;
		const ip = state.kaddr(RIP);
		const values: bigint[] = [];
		for (const access of this.accesses.at(ip)) {
			const address = access.address(state);
			const length = access.length(state);
			if (!access.reads || length === 0 || length > 8 || memory.entry(address) === 0) continue;
			if (this.#isOwn(task, address) || !this.#isPoint(address, length, false)) continue;
			values.push(BigInt.asUintN(8 * length, memory.u64(address)));
		}
		return values.length === 0 ? undefined : `${ip}:${values.join()}`;
	}
}
