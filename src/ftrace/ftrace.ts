import { KlpemuError } from "../errors.js";
import {
	type Dmesg,
	EBUSY,
	EINVAL,
	ENODEV,
	type Kernel,
	list_add,
	list_del,
	list_empty,
	list_head,
	list_is_singular,
	mutex,
	Printer,
} from "../kernel/index.js";
import { hex, type Kaddr, type Memory, toU64 } from "../memory/index.js";
import { type dyn_ftrace, FTRACE_FL, FTRACE_OPS_FL, type ftrace_ops } from "./ops.js";
import { ftrace_call_replace, MCOUNT_INSN_SIZE, NOP5, type TextPoke } from "./text_poke.js";
import { Trampolines, type TrampolineTemplates } from "./trampoline.js";

/** What ftrace needs of the machine round it. */
export interface FtraceEnvironment {
	readonly memory: Memory;
	readonly dmesg: Dmesg;
	readonly text_poke: TextPoke;
	readonly templates: TrampolineTemplates;
	/** Maps pages for a trampoline; `free` gives them back. */
	allocTrampoline(name: string, size: number): Kaddr;
	freeTrampoline(address: Kaddr): void;
	/** Start and size of the function that begins at or contains `address`. */
	kallsyms_lookup_size_offset(address: Kaddr): { size: number; offset: number } | undefined;
	/** Tells the Cpu which five bytes will be flipped. */
	addCallSite(ip: Kaddr): void;
	removeCallSite(ip: Kaddr): void;
	/** Guest memory for a struct ftrace_ops. */
	allocOps(): Kaddr;
	freeOps(address: Kaddr): void;
	/** synchronize_rcu_tasks_rude() and synchronize_rcu_tasks(): nobody is on a trampoline any more. */
	synchronize(what: string): Kernel<void>;
}

/** kernel/trace/ftrace.c, the part that dynamic ops with filters by address need. */
export class Ftrace {
	readonly #env: FtraceEnvironment;
	readonly #print: Printer;
	readonly trampolines: Trampolines;
	readonly ftrace_lock = new mutex("ftrace_lock");
	/** All records by site, and the sites in ascending order. */
	readonly records = new Map<Kaddr, dyn_ftrace>();
	#sorted: Kaddr[] | undefined;
	readonly ftrace_ops_list = new list_head<ftrace_ops>();
	/** Registered ops by the guest address of their struct: what a call-back gets as its third argument. */
	readonly opsByAddress = new Map<Kaddr, ftrace_ops>();
	ftrace_enabled = true;
	ftrace_disabled = false;

	constructor(env: FtraceEnvironment) {
		this.#env = env;
		this.#print = new Printer(env.dmesg, "ftrace: ");
		this.trampolines = new Trampolines(env.memory, env.templates, env);
	}

	/**
	 * Takes over the call sites of a freshly loaded image (ftrace_process_locs): each must be a `call __fentry__` or already
	 * the five byte nop; calls become nops. Throws `FTRACE_BAD_SITE` for anything else.
	 */
	ftrace_process_locs(owner: string, sites: readonly Kaddr[], fentry: Kaddr): void {
		for (const ip of sites) {
			const found = this.#env.memory.read(ip, MCOUNT_INSN_SIZE);
			const call = ftrace_call_replace(ip, fentry);
			if (!sameBytes(found, call) && !sameBytes(found, NOP5)) {
				const bytes = [...found].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
				throw new KlpemuError("FTRACE_BAD_SITE", `'${owner}' has no fentry call at ${hex(ip)} but ${bytes}`, {
					hint: "compile with -pg -mfentry -mrecord-mcount, or -fpatchable-function-entry=5",
				});
			}
			this.#env.text_poke.text_poke_early(ip, NOP5);
			this.records.set(ip, { ip, flags: 0, count: 0, current: 0 });
			this.#env.addCallSite(ip);
		}
		this.#sorted = undefined;
	}

	/** Forgets the call sites of an image that goes away (ftrace_release_mod). */
	ftrace_release(sites: readonly Kaddr[]): void {
		for (const ip of sites) {
			this.records.delete(ip);
			this.#env.removeCallSite(ip);
		}
		this.#sorted = undefined;
	}

	/** The call site at `address`, or within the function that starts there; 0 when there is none. */
	ftrace_location(address: Kaddr): Kaddr {
		if (this.records.has(address)) return address;
		const symbol = this.#env.kallsyms_lookup_size_offset(address);
		if (symbol === undefined || symbol.offset !== 0) return 0;
		return this.#firstIn(address, (address + symbol.size) | 0);
	}

	#firstIn(start: Kaddr, end: Kaddr): Kaddr {
		this.#sorted ??= [...this.records.keys()].sort((a, b) => a - b);
		let low = 0;
		let high = this.#sorted.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.#sorted[middle]! < start) low = middle + 1;
			else high = middle;
		}
		const ip = this.#sorted[low];
		return ip !== undefined && ip < end ? ip : 0;
	}

	/** Adds `ip` to the filter of an ops that is not registered yet, or takes it out again. -EINVAL: there is no such site. */
	ftrace_set_filter_ip(ops: ftrace_ops, ip: Kaddr, remove: boolean): number {
		if (!this.records.has(ip)) return -EINVAL;
		if (remove) ops.filter_hash.delete(ip);
		else ops.filter_hash.add(ip);
		return 0;
	}

	*register_ftrace_function(ops: ftrace_ops): Kernel<number> {
		yield* this.ftrace_lock.lock();
		const ret = yield* this.#ftrace_startup(ops);
		this.ftrace_lock.unlock();
		return ret;
	}

	*unregister_ftrace_function(ops: ftrace_ops): Kernel<number> {
		yield* this.ftrace_lock.lock();
		const ret = yield* this.#ftrace_shutdown(ops);
		this.ftrace_lock.unlock();
		return ret;
	}

	*#ftrace_startup(ops: ftrace_ops): Kernel<number> {
		if (this.ftrace_disabled) return -ENODEV;
		let ret = yield* this.#__register_ftrace_function(ops);
		if (ret !== 0) return ret;
		ops.flags |= FTRACE_OPS_FL.ENABLED | FTRACE_OPS_FL.ADDING;
		ret = this.#ftrace_hash_ipmodify_enable(ops);
		if (ret < 0) {
			yield* this.#__unregister_ftrace_function(ops);
			ops.flags &= ~(FTRACE_OPS_FL.ENABLED | FTRACE_OPS_FL.ADDING);
			this.#freeOps(ops);
			return ret;
		}
		const changed = this.#ftrace_hash_rec_update(ops, true);
		if (this.ftrace_enabled) yield* this.#ftrace_replace_code(changed, true);
		if (this.#isDisabled()) {
			// Nobody knows what the text is like now: the ops leaves the list, and its trampoline stays where it is.
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
		this.#ftrace_hash_ipmodify_disable(ops);
		const changed = this.#ftrace_hash_rec_update(ops, false);
		ops.flags &= ~FTRACE_OPS_FL.ENABLED;
		if (this.ftrace_enabled) yield* this.#ftrace_replace_code(changed, true);
		if (ops.flags & FTRACE_OPS_FL.DYNAMIC) {
			// A task may still be on the trampoline, or in the call-back with this ops.
			yield* this.#env.synchronize("ftrace_shutdown: synchronize_rcu_tasks");
		}
		this.#freeOps(ops);
		return 0;
	}

	*#__register_ftrace_function(ops: ftrace_ops): Kernel<number> {
		if (
			this.#env.dmesg.WARN_ON((ops.flags & FTRACE_OPS_FL.ENABLED) !== 0, "__register_ftrace_function: ops is enabled")
		) {
			return -EBUSY;
		}
		if (!this.ftrace_enabled && ops.flags & FTRACE_OPS_FL.PERMANENT) return -EBUSY;
		ops.address = this.#env.allocOps();
		this.opsByAddress.set(ops.address, ops);
		list_add(ops.list, this.ftrace_ops_list);
		yield "__register_ftrace_function: add_ftrace_ops";
		this.trampolines.arch_ftrace_update_trampoline(ops);
		yield* this.#update_ftrace_function();
		return 0;
	}

	*#__unregister_ftrace_function(ops: ftrace_ops): Kernel<number> {
		if (
			this.#env.dmesg.WARN_ON(
				(ops.flags & FTRACE_OPS_FL.ENABLED) === 0,
				"__unregister_ftrace_function: ops is not enabled",
			)
		) {
			return -EBUSY;
		}
		list_del(ops.list);
		yield "__unregister_ftrace_function: remove_ftrace_ops";
		yield* this.#update_ftrace_function();
		return 0;
	}

	#freeOps(ops: ftrace_ops): void {
		if (ops.flags & FTRACE_OPS_FL.DYNAMIC) this.trampolines.arch_ftrace_trampoline_free(ops);
		this.opsByAddress.delete(ops.address);
		this.#env.freeOps(ops.address);
		ops.address = 0;
	}

	/** What the shared ftrace_caller calls: nothing, the only ops, or the list function. */
	*#update_ftrace_function(): Kernel<void> {
		if (!this.ftrace_enabled) return;
		const list = this.ftrace_ops_list;
		const { templates, text_poke } = this.#env;
		let target = templates.ftrace_ops_list_func;
		if (list_empty(list)) target = templates.ftrace_stub;
		else if (list_is_singular(list)) {
			const only = list.next.owner!;
			this.#env.memory.setU64(templates.function_trace_op, toU64(only.address));
			target = only.func;
		}
		for (const site of [templates.ftrace_call, templates.ftrace_regs_call]) {
			const insn = ftrace_call_replace(site, target);
			if (!sameBytes(this.#env.memory.read(site, MCOUNT_INSN_SIZE), insn)) yield* text_poke.text_poke_bp(site, insn);
		}
	}

	#records(ops: ftrace_ops): dyn_ftrace[] {
		return [...ops.filter_hash].sort((a, b) => a - b).flatMap((ip) => this.records.get(ip) ?? []);
	}

	#ftrace_hash_ipmodify_enable(ops: ftrace_ops): number {
		if (!(ops.flags & FTRACE_OPS_FL.IPMODIFY)) return 0;
		// An ops that changes the ip must say where: an empty filter would mean all functions.
		if (ops.filter_hash.size === 0) return -EINVAL;
		const done: dyn_ftrace[] = [];
		for (const rec of this.#records(ops)) {
			if (rec.flags & FTRACE_FL.IPMODIFY) {
				for (const other of done) other.flags &= ~FTRACE_FL.IPMODIFY;
				return -EBUSY;
			}
			rec.flags |= FTRACE_FL.IPMODIFY;
			done.push(rec);
		}
		return 0;
	}

	#ftrace_hash_ipmodify_disable(ops: ftrace_ops): void {
		if (!(ops.flags & FTRACE_OPS_FL.IPMODIFY)) return;
		for (const rec of this.#records(ops)) rec.flags &= ~FTRACE_FL.IPMODIFY;
	}

	#ftrace_hash_rec_update(ops: ftrace_ops, inc: boolean): dyn_ftrace[] {
		const records = this.#records(ops);
		for (const rec of records) {
			rec.count += inc ? 1 : -1;
			const others = this.#opsOf(rec).filter((other) => inc || other !== ops);
			if (others.some((other) => other.flags & FTRACE_OPS_FL.SAVE_REGS)) rec.flags |= FTRACE_FL.REGS;
			else rec.flags &= ~FTRACE_FL.REGS;
			// Only a site with a single ops may call that ops' own trampoline.
			if (rec.count === 1 && others[0]?.trampoline) rec.flags |= FTRACE_FL.TRAMP;
			else rec.flags &= ~FTRACE_FL.TRAMP;
		}
		return records;
	}

	/** The enabled ops attached to a record, newest first. */
	#opsOf(rec: dyn_ftrace): ftrace_ops[] {
		return [...this.ftrace_ops_list].filter((ops) => ops.flags & FTRACE_OPS_FL.ENABLED && ops.filter_hash.has(rec.ip));
	}

	#ftrace_get_addr_new(rec: dyn_ftrace): Kaddr {
		const { templates } = this.#env;
		if (rec.count === 0) return 0;
		if (rec.flags & FTRACE_FL.TRAMP) return this.#opsOf(rec)[0]!.trampoline;
		return rec.flags & FTRACE_FL.REGS ? templates.ftrace_regs_caller : templates.ftrace_caller;
	}

	/** Makes the call sites what their records say; nops, whatever those say, unless `enable`. */
	*#ftrace_replace_code(records: readonly dyn_ftrace[], enable: boolean): Kernel<void> {
		const { memory, text_poke } = this.#env;
		const changed: [dyn_ftrace, Kaddr][] = [];
		for (const rec of records) {
			const target = enable ? this.#ftrace_get_addr_new(rec) : 0;
			if (target === rec.current) continue;
			const old = rec.current === 0 ? NOP5 : ftrace_call_replace(rec.ip, rec.current);
			if (!sameBytes(memory.read(rec.ip, MCOUNT_INSN_SIZE), old)) {
				this.#ftrace_bug(rec);
				return;
			}
			changed.push([rec, target]);
		}
		for (const [rec, target] of changed) {
			const insn = target === 0 ? NOP5 : ftrace_call_replace(rec.ip, target);
			yield* text_poke.text_poke_queue(rec.ip, insn);
		}
		yield* text_poke.text_poke_finish();
		for (const [rec, target] of changed) {
			rec.current = target;
			if (target === 0) {
				// A record that is only switched off keeps what it wants to be.
				const { ENABLED, REGS_EN, TRAMP_EN, IPMODIFY } = FTRACE_FL;
				rec.flags &= rec.count === 0 ? IPMODIFY : ~(ENABLED | REGS_EN | TRAMP_EN);
			} else {
				const enabled = rec.flags & ~(FTRACE_FL.REGS_EN | FTRACE_FL.TRAMP_EN);
				const regs = rec.flags & FTRACE_FL.REGS ? FTRACE_FL.REGS_EN : 0;
				const tramp = rec.flags & FTRACE_FL.TRAMP ? FTRACE_FL.TRAMP_EN : 0;
				rec.flags = enabled | FTRACE_FL.ENABLED | regs | tramp;
			}
		}
	}

	/** The bytes at a site are not what they must be: ftrace switches itself off for good. */
	#ftrace_bug(rec: dyn_ftrace): void {
		const bytes = [...this.#env.memory.read(rec.ip, MCOUNT_INSN_SIZE)].map((byte) =>
			byte.toString(16).padStart(2, "0"),
		);
		this.#env.dmesg.WARN_ON(true, "ftrace_bug");
		this.#print.pr_info(`ftrace failed to modify [<${hex(rec.ip)}>] actual: ${bytes.join(":")}`);
		this.ftrace_disabled = true;
	}

	/** For places where something in between may have changed it. */
	#isDisabled(): boolean {
		return this.ftrace_disabled;
	}

	/** sysctl kernel.ftrace_enabled. -EBUSY while a PERMANENT ops is registered, -ENODEV after a ftrace_bug. */
	*ftrace_enable_sysctl(value: boolean): Kernel<number> {
		yield* this.ftrace_lock.lock();
		if (this.ftrace_disabled) {
			this.ftrace_lock.unlock();
			return -ENODEV;
		}
		const permanent = [...this.ftrace_ops_list].some((ops) => ops.flags & FTRACE_OPS_FL.PERMANENT);
		let ret = 0;
		if (value === this.ftrace_enabled) ret = 0;
		else if (!value && permanent) ret = -EBUSY;
		else yield* this.#setEnabled(value);
		this.ftrace_lock.unlock();
		return ret;
	}

	*#setEnabled(value: boolean): Kernel<void> {
		const records = [...this.records.values()].filter((rec) => rec.count > 0);
		this.ftrace_enabled = value;
		if (value) yield* this.#update_ftrace_function();
		yield* this.#ftrace_replace_code(records, value);
	}

	/** The call-back of a site with several ops: calls each that has the site in its filter, newest first. */
	ftrace_ops_list_func(ip: Kaddr, parent_ip: Kaddr, fregs: Kaddr): void {
		for (const ops of this.ftrace_ops_list) {
			if (ops.flags & FTRACE_OPS_FL.ENABLED && ops.filter_hash.has(ip)) ops.call(ip, parent_ip, ops.address, fregs);
		}
	}
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
	return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
