import type { Cpu } from "../../cpu/index.js";
import { hex, type Kaddr, type Memory, toU64 } from "../../memory/index.js";
import {
	type Dmesg,
	EBUSY,
	EINVAL,
	ENODEV,
	ENOMEM,
	type FaultInjection,
	type GuestAreas,
	type Kallsyms,
	type Kernel,
	list_add,
	list_del_rcu,
	list_empty,
	list_head,
	list_is_singular,
	mutex,
	Printer,
} from "../lib/index.js";
import { type Sched, synchronize_rcu_tasks } from "../sched/index.js";
import { type dyn_ftrace, FTRACE_FL, FTRACE_OPS_CMD, FTRACE_OPS_FL, ftrace_ops } from "./ops.js";
import { Records } from "./records.js";
import { ftrace_call_replace, MCOUNT_INSN_SIZE, NOP5, sameBytes, type TextPoke } from "./text-poke.js";
import { Trampolines, type TrampolineTemplates } from "./trampoline.js";

/** The parts of ftrace. */
export interface FtraceParts {
	readonly cpu: Cpu;
	readonly dmesg: Dmesg;
	readonly faults: FaultInjection;
	readonly areas: GuestAreas;
	readonly kallsyms: Kallsyms;
	readonly sched: Sched;
	readonly text_poke: TextPoke;
	readonly templates: TrampolineTemplates;
}

/** Address of the function that the shared ftrace_caller calls. */
interface TraceFunction {
	readonly func: Kaddr;
	/** Value of function_trace_op for that function. */
	readonly op: ftrace_ops | undefined;
}

const NO_SITES: ReadonlySet<Kaddr> = new Set();

/**
 * kernel/trace/ftrace.c without direct functions: the registered ops, the sites that they trace, and the code at these
 * sites.
 */
export abstract class FtraceCore {
	readonly #parts: FtraceParts;
	readonly #memory: Memory;
	readonly #print: Printer;
	/** All fentry sites. (Not private: the explorer saves and restores it.) */
	readonly sites: Records;
	readonly trampolines: Trampolines;
	readonly ftrace_lock = new mutex("ftrace_lock");
	/** Registered ops, newest first. */
	readonly ftrace_ops_list = new list_head<ftrace_ops>();
	/** Registered ops by the guest address of their struct, which is the third argument of a call-back. */
	readonly opsByAddress = new Map<Kaddr, ftrace_ops>();
	/** Direct-mapped cache over the map of ops by address: a Map lookup per redirected call costs too much. */
	readonly #recentOps: ftrace_ops[];
	/** Fills unused slots of the cache, so that V8 keeps the array packed and needs no check for undefined. */
	readonly #noOps = new ftrace_ops("none", undefined, 0, undefined, 0);
	ftrace_enabled = true;
	/** Set by ftrace_bug(): the text is in an unknown state, so ftrace does not change it any more. */
	ftrace_disabled = false;
	/** The function that ftrace_caller must call, and the function that it calls since the last update of the code. */
	ftrace_trace_function: TraceFunction;
	saved_ftrace_func: Kaddr;
	/** Set if a site has called ftrace_caller, which all ops share: from then on a task may be in it. */
	sharedCallerUsed = false;

	constructor(parts: FtraceParts) {
		const { cpu, dmesg, areas, faults, text_poke, templates } = parts;
		this.#parts = parts;
		this.#memory = cpu.memory;
		this.#recentOps = Array.from({ length: 1024 }, () => this.#noOps);
		this.#print = new Printer(dmesg, "ftrace: ");
		this.sites = new Records(cpu, text_poke);
		this.trampolines = new Trampolines(cpu.memory, text_poke, templates, areas, faults);
		this.saved_ftrace_func = templates.ftrace_stub;
		this.ftrace_trace_function = { func: templates.ftrace_stub, op: undefined };
	}

	/** Addresses of the parts of asm/ftrace_64.S. */
	get templates(): TrampolineTemplates {
		return this.#parts.templates;
	}

	/** All records by site. */
	get records(): ReadonlyMap<Kaddr, dyn_ftrace> {
		return this.sites.byIp;
	}

	// ---- sites ----

	/**
	 * Takes over the call sites of a freshly loaded image (ftrace_process_locs): each must be a `call __fentry__` or already
	 * the five byte nop; calls become nops. No ops is attached to those of a module before ftrace_module_enable(). Throws
	 * `FTRACE_BAD_SITE` for anything else.
	 */
	ftrace_process_locs(owner: string, sites: readonly Kaddr[], fentry: Kaddr, isModule: boolean): void {
		// As in the kernel, the error is ignored: the image has no records, so none of its functions can be traced.
		if (this.#parts.faults.should_fail(`ftrace_process_locs(${owner})`)) return;
		this.sites.add(owner, sites, fentry, isModule ? FTRACE_FL.DISABLED : 0);
	}

	/** A module is about to be live: ops that trace all functions trace its functions too (ftrace_module_enable). */
	*ftrace_module_enable(sites: readonly Kaddr[]): Kernel<void> {
		yield* this.ftrace_lock.lock();
		if (!this.ftrace_disabled) {
			const records = this.sites.at(sites);
			for (const rec of records) {
				rec.flags &= ~FTRACE_FL.DISABLED;
				for (const ops of this.#opsOf(rec)) this.#count(rec, ops, true);
			}
			if (this.ftrace_enabled) yield* this.#ftrace_replace_code(records, true);
		}
		this.ftrace_lock.unlock();
	}

	/**
	 * Takes the records of a module away whose text is freed next. The kernel also waits for a grace period here; that of free_module()
	 * serves both.
	 */
	*ftrace_release_mod(sites: readonly Kaddr[]): Kernel<void> {
		// Who has the lock changes the code of records that it has chosen before.
		yield* this.ftrace_lock.lock();
		if (!this.ftrace_disabled) this.sites.release(sites);
		this.ftrace_lock.unlock();
	}

	/** The call site at `address`, or within the function that starts there; 0 if there is none. */
	ftrace_location(address: Kaddr): Kaddr {
		if (this.records.has(address)) return address;
		const symbol = this.#parts.kallsyms.kallsyms_lookup_size_offset(address);
		if (symbol === undefined || symbol.offset !== 0) return 0;
		return this.sites.firstIn(address, (address + symbol.size) | 0);
	}

	// ---- filters ----

	/** Adds `ip` to the filter of an ops that is not registered yet, or removes it. -EINVAL: there is no such site. */
	ftrace_set_filter_ip(ops: ftrace_ops, ip: Kaddr, remove: boolean): number {
		if (!this.records.has(ip)) return -EINVAL;
		if (this.#parts.faults.should_fail(`alloc_and_copy_ftrace_hash(${remove ? "remove" : "add"})`)) return -ENOMEM;
		const filter = new Set(ops.filter_hash);
		if (remove) filter.delete(ip);
		else filter.add(ip);
		ops.filter_hash = filter;
		return 0;
	}

	/**
	 * Replaces the filters of an ops, which may be registered (ftrace_hash_move_and_update_ops). An error (-EBUSY: another ops
	 * changes the ip there) leaves them as they were.
	 */
	*ftrace_set_filters(ops: ftrace_ops, filter: ReadonlySet<Kaddr>, notrace: ReadonlySet<Kaddr>): Kernel<number> {
		yield* this.ftrace_lock.lock();
		const registered = (ops.flags & FTRACE_OPS_FL.ENABLED) !== 0;
		const ret = registered ? yield* this.#ftrace_hash_update_ipmodify(ops, ops.filter_hash, filter) : 0;
		if (ret === 0) {
			const before = registered ? this.#ftrace_hash_rec_update(ops, false) : [];
			ops.filter_hash = filter;
			ops.notrace_hash = notrace;
			const after = registered ? this.#ftrace_hash_rec_update(ops, true) : [];
			ops.flags |= FTRACE_OPS_FL.MODIFYING;
			yield* this.#ftrace_run_update_code([...new Set([...before, ...after])].sort((a, b) => a.ip - b.ip));
			ops.flags &= ~FTRACE_OPS_FL.MODIFYING;
		}
		this.ftrace_lock.unlock();
		return ret;
	}

	// ---- registration ----

	/** The ops whose guest address a trampoline passed. */
	opsAt(address: Kaddr): ftrace_ops | undefined {
		// A struct ftrace_ops has 64 bytes.
		const slot = (address >>> 6) & 1023;
		const recent = this.#recentOps[slot]!;
		if (recent.address === address) return recent;
		const ops = this.opsByAddress.get(address);
		if (ops !== undefined) this.#recentOps[slot] = ops;
		return ops;
	}

	/** The caller holds direct_mutex, or handles the direct functions itself. */
	*register_ftrace_function_nolock(ops: ftrace_ops): Kernel<number> {
		yield* this.ftrace_lock.lock();
		const ret = yield* this.#ftrace_startup(ops);
		this.ftrace_lock.unlock();
		return ret;
	}

	*unregister_ftrace_function_nolock(ops: ftrace_ops): Kernel<number> {
		yield* this.ftrace_lock.lock();
		const ret = yield* this.#ftrace_shutdown(ops);
		this.ftrace_lock.unlock();
		return ret;
	}

	/** Drops values that were computed from the fields; for a restore. */
	dropCaches(): void {
		this.#recentOps.fill(this.#noOps);
	}

	*#ftrace_startup(ops: ftrace_ops): Kernel<number> {
		if (this.ftrace_disabled) return -ENODEV;
		let ret = yield* this.#__register_ftrace_function(ops);
		if (ret !== 0) return ret;
		ops.flags |= FTRACE_OPS_FL.ENABLED | FTRACE_OPS_FL.ADDING;
		ret = yield* this.#ftrace_hash_ipmodify_enable(ops);
		if (ret < 0) {
			yield* this.#__unregister_ftrace_function(ops);
			ops.flags &= ~(FTRACE_OPS_FL.ENABLED | FTRACE_OPS_FL.ADDING);
			this.#freeDynamic(ops);
			return ret;
		}
		const changed = this.#ftrace_hash_rec_update(ops, true);
		yield* this.#ftrace_run_update_code(changed);
		if (this.#isDisabled()) {
			// The text is in an unknown state now: the ops leaves the list, and its trampoline stays mapped.
			yield* this.#__unregister_ftrace_function(ops);
			return -ENODEV;
		}
		ops.flags &= ~FTRACE_OPS_FL.ADDING;
		return 0;
	}

	*#ftrace_shutdown(ops: ftrace_ops): Kernel<number> {
		if (this.ftrace_disabled) return -ENODEV;
		const ret = yield* this.#__unregister_ftrace_function(ops);
		if (ret !== 0) return ret;
		yield* this.#ftrace_hash_update_ipmodify(ops, ops.filter_hash, NO_SITES);
		const changed = this.#ftrace_hash_rec_update(ops, false);
		ops.flags &= ~FTRACE_OPS_FL.ENABLED;
		ops.flags |= FTRACE_OPS_FL.REMOVING;
		yield* this.#ftrace_run_update_code(changed);
		ops.flags &= ~FTRACE_OPS_FL.REMOVING;
		if (ops.flags & FTRACE_OPS_FL.DYNAMIC) {
			// A task may still be on the trampoline, or in the call-back with this ops.
			yield* synchronize_rcu_tasks(this.#parts.sched, "ftrace_shutdown: synchronize_rcu_tasks");
		}
		this.#freeDynamic(ops);
		return 0;
	}

	*#__register_ftrace_function(ops: ftrace_ops): Kernel<number> {
		const { dmesg } = this.#parts;
		const memory = this.#memory;
		if (dmesg.WARN_ON((ops.flags & FTRACE_OPS_FL.ENABLED) !== 0, "__register_ftrace_function: ops is enabled")) {
			return -EBUSY;
		}
		if (!this.ftrace_enabled && ops.flags & FTRACE_OPS_FL.PERMANENT) return -EBUSY;
		if (ops.address === 0) ops.address = this.#parts.areas.allocOps();
		memory.setU64(ops.address, toU64(ops.func));
		this.opsByAddress.set(ops.address, ops);
		list_add(ops.list, this.ftrace_ops_list);
		yield "__register_ftrace_function: add_ftrace_ops";
		yield* this.trampolines.arch_ftrace_update_trampoline(ops);
		this.#update_ftrace_function();
		return 0;
	}

	*#__unregister_ftrace_function(ops: ftrace_ops): Kernel<number> {
		const enabled = (ops.flags & FTRACE_OPS_FL.ENABLED) !== 0;
		if (this.#parts.dmesg.WARN_ON(!enabled, "__unregister_ftrace_function: ops is not enabled")) return -EBUSY;
		// A task in ftrace_ops_list_func() may be at this entry, and must still reach the next one.
		list_del_rcu(ops.list);
		yield "__unregister_ftrace_function: remove_ftrace_ops";
		this.#update_ftrace_function();
		return 0;
	}

	/** Frees the struct and the trampoline of a dynamic ops; a static ops keeps both for its next registration. */
	#freeDynamic(ops: ftrace_ops): void {
		if (!(ops.flags & FTRACE_OPS_FL.DYNAMIC)) return;
		this.trampolines.arch_ftrace_trampoline_free(ops);
		this.opsByAddress.delete(ops.address);
		// The guest may make another ops at the same address.
		this.#recentOps[(ops.address >>> 6) & 1023] = this.#noOps;
		if (ops.inGuest) return;
		this.#parts.areas.freeOps(ops.address);
		ops.address = 0;
	}

	// ---- records ----

	/** The enabled ops attached to a record, newest first. */
	#opsOf(rec: dyn_ftrace): ftrace_ops[] {
		return [...this.ftrace_ops_list].filter((ops) => ops.flags & FTRACE_OPS_FL.ENABLED && ops.traces(rec.ip));
	}

	*#ftrace_hash_ipmodify_enable(ops: ftrace_ops): Kernel<number> {
		const { IPMODIFY, DIRECT } = FTRACE_OPS_FL;
		// An ops that changes the ip must have a filter: an empty filter would mean all functions.
		if (ops.flags & (IPMODIFY | DIRECT) && ops.filter_hash.size === 0) return -EINVAL;
		return yield* this.#ftrace_hash_update_ipmodify(ops, NO_SITES, ops.filter_hash);
	}

	/**
	 * Marks the records that are new in the filter of an IPMODIFY ops, and unmarks the records that leave it: a record
	 * has at most one such ops. A DIRECT ops with a marked record must be able to share it. `target`: the direct
	 * function changes, the filter does not.
	 */
	*#ftrace_hash_update_ipmodify(
		ops: ftrace_ops,
		before: ReadonlySet<Kaddr>,
		after: ReadonlySet<Kaddr>,
		target = false,
	): Kernel<number> {
		const isIpmodify = (ops.flags & FTRACE_OPS_FL.IPMODIFY) !== 0;
		const isDirect = (ops.flags & FTRACE_OPS_FL.DIRECT) !== 0;
		if (!isIpmodify && !isDirect) return 0;
		const both = isIpmodify && isDirect;
		if (this.#parts.dmesg.WARN_ON_ONCE(both, "__ftrace_hash_update_ipmodify: is_ipmodify && is_direct")) return 0;
		const done: dyn_ftrace[] = [];
		for (const rec of this.sites.at([...before, ...after])) {
			const isIn = after.has(rec.ip);
			if (rec.flags & FTRACE_FL.DISABLED || (before.has(rec.ip) === isIn && !target)) continue;
			if (isIn && rec.flags & FTRACE_FL.IPMODIFY) {
				if (isIpmodify) {
					for (const other of done) other.flags ^= FTRACE_FL.IPMODIFY;
					return -EBUSY;
				}
				if (ops.ops_func === undefined) return -EBUSY;
				const ret = yield* ops.ops_func(FTRACE_OPS_CMD.ENABLE_SHARE_IPMODIFY_SELF);
				if (ret !== 0) return ret;
			} else if (isIpmodify) {
				rec.flags ^= FTRACE_FL.IPMODIFY;
				done.push(rec);
			}
		}
		return 0;
	}

	/** For __modify_ftrace_direct(): asks the ops_func of a DIRECT ops if the new target can share its sites. */
	askToShare(ops: ftrace_ops): Kernel<number> {
		return this.#ftrace_hash_update_ipmodify(ops, ops.filter_hash, ops.filter_hash, true);
	}

	#ftrace_hash_rec_update(ops: ftrace_ops, inc: boolean): dyn_ftrace[] {
		const all = ops.filter_hash.size === 0 ? this.sites.sorted : this.sites.at([...ops.filter_hash]);
		const records = all.filter((rec) => !(rec.flags & FTRACE_FL.DISABLED) && ops.traces(rec.ip));
		for (const rec of records) this.#count(rec, ops, inc);
		return records;
	}

	/** Adds an ops to a record, or removes it (__ftrace_hash_rec_update). */
	#count(rec: dyn_ftrace, ops: ftrace_ops, inc: boolean): void {
		const others = this.#opsOf(rec).filter((other) => other !== ops);
		rec.count += inc ? 1 : -1;
		if (ops.flags & FTRACE_OPS_FL.DIRECT) {
			if (inc) rec.flags |= FTRACE_FL.DIRECT;
			else rec.flags &= ~FTRACE_FL.DIRECT;
		}
		const withRegs = (other: ftrace_ops) => (other.flags & FTRACE_OPS_FL.SAVE_REGS) !== 0;
		if (inc && withRegs(ops)) rec.flags |= FTRACE_FL.REGS;
		if (!inc && rec.count > 0 && withRegs(ops) && !others.some(withRegs)) rec.flags &= ~FTRACE_FL.REGS;
		// Only a site with a single ops may call that ops' own trampoline.
		const only = inc ? ops : others[0];
		if (rec.count === 1 && only?.trampoline) rec.flags |= FTRACE_FL.TRAMP;
		else rec.flags &= ~FTRACE_FL.TRAMP;
	}

	/** The target that the call of a site must have; 0 for a nop (ftrace_get_addr_new). */
	#ftrace_get_addr_new(rec: dyn_ftrace): Kaddr {
		const { templates, dmesg } = this.#parts;
		if (rec.count === 0) return 0;
		if (rec.flags & FTRACE_FL.DIRECT && rec.count === 1) {
			const direct = this.sites.direct_functions.get(rec.ip) ?? 0;
			if (!dmesg.WARN_ON_ONCE(direct === 0, "ftrace_get_addr_new: !ftrace_find_rec_direct")) return direct;
		}
		if (rec.flags & FTRACE_FL.TRAMP) return this.#opsOf(rec)[0]!.trampoline;
		this.sharedCallerUsed = true;
		return rec.flags & FTRACE_FL.REGS ? templates.ftrace_regs_caller : templates.ftrace_caller;
	}

	// ---- code ----

	/**
	 * All state that a call through a fentry site depends on, without the state that call-backs read: in two states
	 * with the same key, a call runs the same call-backs.
	 */
	callKey(): readonly unknown[] {
		const { templates } = this.#parts;
		const memory = this.#memory;
		const parts: unknown[] = [];
		const addText = (at: Kaddr) => parts.push(at, memory.read(at, MCOUNT_INSN_SIZE).join());
		for (const site of this.records.keys()) addText(site);
		for (const site of this.sites.released) addText(site);
		// No call depends on these fields while each site has one ops with a trampoline of its own.
		if (this.sharedCallerUsed) {
			parts.push(memory.u64(templates.function_trace_op));
			addText(templates.ftrace_call);
			addText(templates.ftrace_regs_call);
			for (const ops of this.ftrace_ops_list) {
				parts.push(ops.name, ops.flags, ops.func, ops.direct_call, [...ops.filter_hash], [...ops.notrace_hash]);
			}
		}
		for (const [address, { name }] of this.opsByAddress) parts.push(address, name);
		return parts;
	}

	/** Chooses what ftrace_caller calls: nothing, the only ops, or the list function. */
	#update_ftrace_function(): void {
		if (!this.ftrace_enabled) return;
		const { templates } = this.#parts;
		const list = this.ftrace_ops_list;
		const { DYNAMIC, RCU } = FTRACE_OPS_FL;
		const only = list_is_singular(list) ? list.next.owner! : undefined;
		let func = templates.ftrace_ops_list_func;
		if (list_empty(list)) func = templates.ftrace_stub;
		// An ops that may be freed at any time is only called by the function that walks the list.
		else if (only !== undefined && !(only.flags & (DYNAMIC | RCU))) func = this.trampolines.ftrace_ops_get_func(only);
		this.ftrace_trace_function = { func, op: only };
	}

	/**
	 * Updates the code to match the records and the list (ftrace_run_update_code, ftrace_modify_all_code). While call
	 * sites change, ftrace_caller calls the list function: it checks the filters, so that no ops is called at a site
	 * that is not in its filter.
	 */
	*#ftrace_run_update_code(records: readonly dyn_ftrace[], enable = true): Kernel<void> {
		if (enable && !this.ftrace_enabled) return;
		const { templates } = this.#parts;
		const memory = this.#memory;
		const { func, op } = this.ftrace_trace_function;
		const update = enable && this.saved_ftrace_func !== func;
		if (update) {
			this.saved_ftrace_func = func;
			yield* this.#ftrace_update_ftrace_func(templates.ftrace_ops_list_func);
		}
		yield* this.#ftrace_replace_code(records, enable);
		if (!update || func === templates.ftrace_ops_list_func) return;
		memory.setU64(templates.function_trace_op, op === undefined ? 0n : toU64(op.address));
		yield* this.#ftrace_update_ftrace_func(func);
	}

	*#ftrace_update_ftrace_func(func: Kaddr): Kernel<void> {
		const { templates, text_poke } = this.#parts;
		const memory = this.#memory;
		for (const site of [templates.ftrace_call, templates.ftrace_regs_call]) {
			const insn = ftrace_call_replace(site, func);
			if (!sameBytes(memory.read(site, MCOUNT_INSN_SIZE), insn)) yield* text_poke.text_poke_bp(site, insn);
		}
	}

	/** Writes each call site as its record says, or as a nop if not `enable`. */
	*#ftrace_replace_code(records: readonly dyn_ftrace[], enable: boolean): Kernel<void> {
		const { text_poke, faults } = this.#parts;
		const memory = this.#memory;
		const changed: [dyn_ftrace, Kaddr][] = [];
		for (const rec of records) {
			const target = enable ? this.#ftrace_get_addr_new(rec) : 0;
			if (target === rec.current) {
				this.#ftrace_update_record(rec, target);
				continue;
			}
			const old = rec.current === 0 ? NOP5 : ftrace_call_replace(rec.ip, rec.current);
			const failed = faults.should_fail(`ftrace_verify_code(${hex(rec.ip)})`);
			if (failed || !sameBytes(memory.read(rec.ip, MCOUNT_INSN_SIZE), old)) {
				this.#ftrace_bug(rec);
				return;
			}
			changed.push([rec, target]);
		}
		for (const [rec, target] of changed) {
			const insn = target === 0 ? NOP5 : ftrace_call_replace(rec.ip, target);
			yield* text_poke.text_poke_queue(rec.ip, insn);
			this.#ftrace_update_record(rec, target);
		}
		yield* text_poke.text_poke_finish();
	}

	/** Stores the present state of a site in its record (ftrace_check_record). */
	#ftrace_update_record(rec: dyn_ftrace, target: Kaddr): void {
		const { ENABLED, REGS, REGS_EN, TRAMP, TRAMP_EN, DIRECT, DIRECT_EN, IPMODIFY, TOUCHED, MODIFIED } = FTRACE_FL;
		const before = rec.flags;
		rec.current = target;
		rec.flags &= ~(ENABLED | REGS_EN | TRAMP_EN | DIRECT_EN);
		if (rec.count === 0) {
			// IPMODIFY is set by the owner of the ops.
			rec.flags &= IPMODIFY;
			return;
		}
		// A record that is only switched off keeps the flags that describe its wanted state.
		if (target === 0) return;
		const regs = rec.flags & REGS ? REGS_EN : 0;
		const tramp = rec.flags & TRAMP ? TRAMP_EN : 0;
		const direct = rec.flags & DIRECT && rec.count === 1 ? DIRECT_EN : 0;
		rec.flags |= ENABLED | regs | tramp | direct;
		// FTRACE_UPDATE_IGNORE
		if (rec.flags === before) return;
		this.sites.setNoclear(rec, rec.flags & (DIRECT | IPMODIFY) ? TOUCHED | MODIFIED : TOUCHED);
	}

	/** The bytes at a site are not the expected ones: ftrace disables itself permanently. */
	#ftrace_bug(rec: dyn_ftrace): void {
		const bytes = [...this.#memory.read(rec.ip, MCOUNT_INSN_SIZE)].map((byte) => byte.toString(16).padStart(2, "0"));
		this.#parts.dmesg.WARN_ON(true, "ftrace_bug");
		this.#print.pr_info(`ftrace failed to modify [<${hex(rec.ip)}>] actual: ${bytes.join(":")}`);
		this.ftrace_disabled = true;
	}

	/** For a second read behind a call that may have changed the value (TypeScript would keep the narrowed type). */
	#isDisabled(): boolean {
		return this.ftrace_disabled;
	}

	// ---- sysctl ----

	/** sysctl kernel.ftrace_enabled. -EBUSY while a PERMANENT ops is registered, -ENODEV after a ftrace_bug. */
	*ftrace_enable_sysctl(value: boolean): Kernel<number> {
		yield* this.ftrace_lock.lock();
		let ret = 0;
		const permanent = [...this.ftrace_ops_list].some((ops) => ops.flags & FTRACE_OPS_FL.PERMANENT);
		if (this.ftrace_disabled) ret = -ENODEV;
		else if (value === this.ftrace_enabled) ret = 0;
		else if (!value && permanent) ret = -EBUSY;
		else yield* this.#setEnabled(value);
		this.ftrace_lock.unlock();
		return ret;
	}

	*#setEnabled(value: boolean): Kernel<void> {
		const { ftrace_stub } = this.#parts.templates;
		const records = this.sites.sorted.filter((rec) => rec.count > 0);
		this.ftrace_enabled = value;
		// The next update sets the function that ftrace_caller calls again.
		this.saved_ftrace_func = 0;
		if (value) this.#update_ftrace_function();
		else this.ftrace_trace_function = { func: ftrace_stub, op: undefined };
		yield* this.#ftrace_run_update_code(records, value);
	}

	// ---- call-backs ----

	/**
	 * For ftrace_ops_list_func(), which walks the list in the guest: the ops after `after` (0: from the newest on) that traces
	 * the site. Undefined: that was the last.
	 */
	nextOps(ip: Kaddr, after: Kaddr): ftrace_ops | undefined {
		const from = after === 0 ? this.ftrace_ops_list : this.opsAt(after)?.list;
		for (let node = from?.next; node !== undefined && node !== this.ftrace_ops_list; node = node.next) {
			const ops = node.owner!;
			if (!(ops.flags & FTRACE_OPS_FL.STUB) && ops.flags & FTRACE_OPS_FL.ENABLED && ops.traces(ip)) return ops;
		}
		return undefined;
	}
}
