import type { Kaddr } from "../../memory/index.js";
import {
	EBUSY,
	EEXIST,
	EINVAL,
	ENODEV,
	ENOENT,
	ENOMEM,
	KERN,
	type Kernel,
	list_empty,
	mutex,
	Printer,
} from "../lib/index.js";
import type { Core, Design, KlpParts } from "./design.js";
import { select } from "./handler.js";
import { Patching } from "./patch.js";
import { klp_apply_relocs } from "./relocs.js";
import { Transition } from "./transition.js";
import {
	KLP_TRANSITION_PATCHED,
	KLP_TRANSITION_UNPATCHED,
	KSYM_NAME_LEN,
	klp_func,
	klp_object,
	type klp_ops,
	type klp_patch,
	MODULE_NAME_LEN,
	sameFunction,
} from "./types.js";

/** kernel/livepatch/core.c: patches from registration to removal. */
export class KlpCore implements Core {
	readonly env: KlpParts;
	readonly design: Design;
	readonly print: Printer;
	readonly klp_mutex = new mutex("klp_mutex");
	/** All patches in use, in the order they were enabled. */
	readonly klp_patches: klp_patch[] = [];
	/** /sys/kernel/livepatch exists (klp_init). */
	readonly klp_initialized: boolean;
	readonly patching: Patching;
	readonly transition: Transition;

	constructor(env: KlpParts, design: Design) {
		this.env = env;
		this.design = design;
		this.print = new Printer(env.dmesg, "livepatch: ");
		this.klp_initialized = !env.faults.should_fail("kobject_create_and_add(livepatch)");
		this.patching = new Patching(this);
		this.transition = new Transition(this);
	}

	/** The entry that a task in `patch_state` takes; undefined: the original. */
	select(ops: klp_ops, patch_state: number): klp_func | undefined {
		return list_empty(ops.func_stack) ? undefined : select(this.design, ops, patch_state);
	}

	/** Tells observers that the kernel reads memory that is not a klp_func or klp_ops, or that is freed. */
	invalidRead(what: string): void {
		for (const observer of this.env.observers) observer.invalidRead?.(what);
	}

	klp_is_object_loaded(obj: klp_object): boolean {
		return obj.name === undefined || obj.mod !== undefined;
	}

	*klp_pre_patch_callback(obj: klp_object): Kernel<number> {
		const { pre_patch } = obj.callbacks;
		const ret = pre_patch === undefined ? 0 : yield* pre_patch(obj);
		obj.callbacks_enabled = ret === 0;
		return ret;
	}
	*klp_post_patch_callback(obj: klp_object): Kernel<void> {
		const { post_patch } = obj.callbacks;
		if (post_patch !== undefined) yield* post_patch(obj);
	}
	*klp_pre_unpatch_callback(obj: klp_object): Kernel<void> {
		const { pre_unpatch } = obj.callbacks;
		if (pre_unpatch !== undefined) yield* pre_unpatch(obj);
	}
	*klp_post_unpatch_callback(obj: klp_object): Kernel<void> {
		const { post_unpatch } = obj.callbacks;
		if (obj.callbacks_enabled && post_unpatch !== undefined) yield* post_unpatch(obj);
		obj.callbacks_enabled = false;
	}

	klp_find_func(obj: klp_object, old: klp_func): klp_func | undefined {
		const same = (func: klp_func) => this.env.release.symposZeroIsOne || func.old_sympos === old.old_sympos;
		return obj.funcs.find((func) => sameFunction(func, old) && same(func));
	}

	klp_find_object(patch: klp_patch, old: klp_object): klp_object | undefined {
		return patch.obj_list.find((obj) => obj.name === old.name);
	}

	/**
	 * The address of a function by name and position; -EINVAL, with a message, if they do not name exactly one
	 * function.
	 */
	klp_find_object_symbol(objname: string | undefined, name: string, sympos: number): Kaddr | undefined {
		const all = this.env.kallsyms.lookup(objname, name);
		// The search stops at the wanted position, or at the second match if no position is given.
		const count = sympos > 0 ? Math.min(all.length, sympos) : Math.min(all.length, 2);
		if (count === 0) this.print.pr_err(`symbol '${name}' not found in symbol table`);
		else if (count > 1 && sympos === 0) {
			this.print.pr_err(`unresolvable ambiguity for symbol '${name}' in object '${objname ?? "(null)"}'`);
		} else if (sympos !== count && sympos > 0) {
			this.print.pr_err(`symbol position ${sympos} for symbol '${name}' in object '${objname ?? "vmlinux"}' not found`);
		} else return all[count - 1]!.address;
		return undefined;
	}

	klp_init_object_loaded(patch: klp_patch, obj: klp_object): number {
		// The relocations against vmlinux were applied when the livepatch module was loaded.
		if (obj.name !== undefined) {
			const ret = klp_apply_relocs(this, patch.mod, obj.name);
			if (ret !== 0) return ret;
		}
		for (const func of obj.funcs) {
			const address = this.klp_find_object_symbol(obj.name, func.old_name, func.old_sympos);
			func.old_func = address ?? 0;
			if (address === undefined) return -EINVAL;
			const old = this.env.kallsyms.kallsyms_lookup_size_offset(address);
			if (old === undefined || old.size === 0) {
				this.print.pr_err(`kallsyms size lookup failed for '${func.old_name}'`);
				return -ENOENT;
			}
			func.old_size = old.size;
			if (func.nop) func.new_func = address;
			const replacement = this.env.kallsyms.kallsyms_lookup_size_offset(func.new_func);
			if (replacement === undefined || replacement.size === 0) {
				this.print.pr_err(`kallsyms size lookup failed for '${func.old_name}' replacement`);
				return -ENOENT;
			}
			func.new_size = replacement.size;
		}
		return 0;
	}

	/** What kobject_add_internal() refuses. `directory`: below /sys/kernel/livepatch. */
	#kobject_add(exists: boolean, directory: string, name: string): number {
		const { dmesg } = this.env;
		if (name === "") {
			dmesg.print(KERN.WARNING, "kobject: (____ptrval____): attempted to be registered with empty name!");
			dmesg.WARN_ON(true, "kobject_add_internal: !kobj->name[0]");
			return -EINVAL;
		}
		if (!exists) return 0;
		dmesg.print(KERN.WARNING, `sysfs: cannot create duplicate filename '/kernel/livepatch/${directory}/${name}'`);
		dmesg.print(
			KERN.ERR,
			`kobject: kobject_add_internal failed for ${name} with -EEXIST, don't try to register things with the same name in the same directory.`,
		);
		return -EEXIST;
	}

	#klp_init_func(patch: klp_patch, obj: klp_object, func: klp_func): number {
		if (func.old_name === "") return -EINVAL;
		if (func.new_func === 0 && !func.nop) return -EINVAL;
		if (func.old_name.length >= KSYM_NAME_LEN) return -EINVAL;
		func.patched = false;
		func.transition = false;
		func.mark = this.design.initialMark ?? 0;
		// kobject_add("%s,%lu"): position 0 is shown as 1, so entries with positions 0 and 1 have the same name, which
		// is an error.
		const exists = obj.funcs.some((other) => other.in_sysfs && sameFunction(other, func));
		const name = `${func.old_name},${func.old_sympos || 1}`;
		const error = this.#kobject_add(exists, `${patch.mod.name}/${obj.label}`, name);
		if (error !== 0) return error;
		if (this.env.faults.should_fail(`kobject_add(${func.old_name})`)) return -ENOMEM;
		func.in_sysfs = true;
		return 0;
	}

	#klp_init_object(patch: klp_patch, obj: klp_object): number {
		if (obj.name !== undefined && obj.name.length >= MODULE_NAME_LEN) return -EINVAL;
		obj.patched = false;
		obj.mod = undefined;
		if (obj.name !== undefined) {
			const mod = this.env.modules.get(obj.name);
			if (mod?.klp_alive) obj.mod = mod;
		}
		// kobject_add() in the patch's directory.
		const exists = patch.obj_list.some((other) => other.in_sysfs && other.label === obj.label);
		const error = this.#kobject_add(exists, patch.mod.name, obj.label);
		if (error !== 0) return error;
		if (this.env.faults.should_fail(`kobject_add(${obj.label})`)) return -ENOMEM;
		obj.in_sysfs = true;
		for (const func of obj.funcs) {
			const ret = this.#klp_init_func(patch, obj, func);
			if (ret !== 0) return ret;
		}
		return this.klp_is_object_loaded(obj) ? this.klp_init_object_loaded(patch, obj) : 0;
	}

	/** Adds a nop for each function of older patches that the new patch lacks, if the design wants a nop for it. */
	#klp_add_nops(patch: klp_patch): number {
		const { faults } = this.env;
		for (const old of this.klp_patches) {
			for (const old_obj of old.obj_list) {
				const missing = old_obj.funcs.filter((func) => this.design.needsNop(this, patch, old, old_obj, func));
				// klp_add_object_nops() makes the object before it looks for functions.
				const isEmpty = old_obj.funcs.length === 0 && this.design.supersedes(patch, old);
				if (missing.length === 0 && !isEmpty) continue;
				let obj = this.klp_find_object(patch, old_obj);
				if (obj === undefined) {
					if (faults.should_fail("klp_alloc_object_dynamic")) return -ENOMEM;
					obj = new klp_object({ name: old_obj.name, funcs: [], dynamic: true });
					patch.obj_list.push(obj);
				}
				for (const func of missing) {
					if (this.klp_find_func(obj, func) !== undefined) continue;
					if (faults.should_fail(`klp_alloc_func_nop(${func.old_name})`)) return -ENOMEM;
					const { old_name, old_sympos } = func;
					obj.funcs.push(new klp_func({ old_name, new_name: old_name, new_func: 0, old_sympos, nop: true }));
				}
			}
		}
		return 0;
	}

	#klp_init_patch(patch: klp_patch): number {
		if (this.env.faults.should_fail(`kobject_add(${patch.name})`)) return -ENOMEM;
		patch.in_sysfs = true;
		if (this.design.addsNops(patch) && this.#klp_add_nops(patch) !== 0) return -ENOMEM;
		for (const obj of patch.obj_list) {
			const ret = this.#klp_init_object(patch, obj);
			if (ret !== 0) return ret;
		}
		this.klp_patches.push(patch);
		return 0;
	}

	/**
	 * Enables a livepatch; its module's init calls this. 0 or a negative errno; after an error all changes are undone.
	 * The checks come in the kernel's order.
	 */
	*klp_enable_patch(patch: klp_patch): Kernel<number> {
		// NULL pointers in the guest's structs (objs, an object's funcs) are refused before this, in
		// exports/livepatch.ts.
		if (!patch.mod.livepatch) {
			this.print.pr_err(`module ${patch.name} is not marked as a livepatch module`);
			return -EINVAL;
		}
		if (!this.klp_initialized) return -ENODEV;
		if (!this.env.klp_have_reliable_stack) {
			this.print.pr_warn("This architecture doesn't have support for the livepatch consistency model.");
			this.print.pr_warn("The livepatch transition may never complete.");
		}
		yield* this.klp_mutex.lock();
		const compatible = this.design.isCompatible(this, patch);
		if (compatible !== 0) {
			this.print.pr_err(`Livepatch patch (${patch.name}) is not compatible with the already installed livepatches.`);
			this.klp_mutex.unlock();
			return compatible;
		}
		if (this.env.faults.should_fail(`try_module_get(${patch.name})`)) {
			this.klp_mutex.unlock();
			return -ENODEV;
		}
		patch.mod.refcount++;
		patch.obj_list = [...patch.objs];
		patch.enabled = false;
		patch.forced = false;

		let ret = this.#klp_init_patch(patch);
		if (ret === 0) ret = yield* this.#__klp_enable_patch(patch);
		if (ret !== 0) {
			this.#klp_free_patch_start(patch);
			this.klp_mutex.unlock();
			this.#klp_free_patch_finish(patch);
			return ret;
		}
		this.klp_mutex.unlock();
		return 0;
	}

	*#__klp_enable_patch(patch: klp_patch): Kernel<number> {
		const { transition, patching, print } = this;
		if (transition.klp_transition_patch !== undefined) return -EBUSY;
		if (this.env.dmesg.WARN_ON(patch.enabled, "__klp_enable_patch: patch->enabled")) return -EINVAL;
		print.pr_notice(`enabling patch '${patch.name}'`);
		yield* transition.klp_init_transition(patch, KLP_TRANSITION_PATCHED);
		// smp_wmb(): func->transition before func_stack; klp_ftrace_handler() reads them in the other order.
		for (const obj of patch.obj_list) {
			if (!this.klp_is_object_loaded(obj)) continue;
			let ret = yield* this.klp_pre_patch_callback(obj);
			if (ret !== 0) print.pr_warn(`pre-patch callback failed for object '${obj.label}'`);
			else {
				ret = yield* patching.klp_patch_object(obj);
				if (ret !== 0) print.pr_warn(`failed to patch object '${obj.label}'`);
			}
			if (ret !== 0) {
				print.pr_warn(`failed to enable patch '${patch.name}'`);
				yield* transition.klp_cancel_transition();
				return ret;
			}
		}
		yield* transition.klp_start_transition();
		patch.enabled = true;
		yield* transition.klp_try_complete_transition();
		return 0;
	}

	*__klp_disable_patch(patch: klp_patch): Kernel<number> {
		const { transition } = this;
		if (this.env.dmesg.WARN_ON(!patch.enabled, "__klp_disable_patch: !patch->enabled")) return -EINVAL;
		if (transition.klp_transition_patch !== undefined) return -EBUSY;
		yield* transition.klp_init_transition(patch, KLP_TRANSITION_UNPATCHED);
		for (const obj of patch.obj_list) if (obj.patched) yield* this.klp_pre_unpatch_callback(obj);
		// smp_wmb(): func->transition before TIF_PATCH_PENDING, for a handler that runs right after klp_update_patch_state().
		yield* transition.klp_start_transition();
		patch.enabled = false;
		yield* transition.klp_try_complete_transition();
		return 0;
	}

	/**
	 * Unlinks all older patches that `new_patch` supersedes by the rule of the design. No task should see their entries
	 * any more.
	 */
	*klp_unpatch_replaced_patches(new_patch: klp_patch): Kernel<void> {
		for (const old of [...this.klp_patches]) {
			if (old === new_patch) return;
			if (!this.design.supersedes(new_patch, old)) continue;
			old.enabled = false;
			yield* this.patching.klp_unpatch_objects(old);
		}
	}

	/** Removes the nops. It must come right after klp_unpatch_replaced_patches(), when they are the last entries. */
	*klp_discard_nops(patch: klp_patch): Kernel<void> {
		yield* this.patching.klp_unpatch_objects_dynamic(patch);
		this.#__klp_free_objects(patch, true);
	}

	#__klp_free_objects(patch: klp_patch, nops_only: boolean): void {
		for (const obj of [...patch.obj_list]) {
			for (const func of [...obj.funcs]) {
				if (nops_only && !func.nop) continue;
				func.in_sysfs = false;
				if (func.nop) {
					func.freed = true;
					obj.funcs.splice(obj.funcs.indexOf(func), 1);
				}
			}
			if (nops_only && !obj.dynamic) continue;
			obj.in_sysfs = false;
			patch.obj_list.splice(patch.obj_list.indexOf(obj), 1);
		}
	}

	#klp_free_patch_start(patch: klp_patch): void {
		const index = this.klp_patches.indexOf(patch);
		if (index >= 0) this.klp_patches.splice(index, 1);
		this.#__klp_free_objects(patch, false);
	}

	/** Outside klp_mutex: removes the sysfs directory, then lets the module go, unless the transition was forced. */
	#klp_free_patch_finish(patch: klp_patch): void {
		patch.in_sysfs = false;
		patch.freed = true;
		if (!patch.forced) patch.mod.refcount--;
	}

	klp_free_patch_async(patch: klp_patch): void {
		this.#klp_free_patch_start(patch);
		const klp = this;
		this.env.workqueue.schedule_work({
			name: `klp_free_patch_work_fn(${patch.name})`,
			*func(): Kernel<void> {
				klp.#klp_free_patch_finish(patch);
				yield "klp_free_patch_work_fn";
			},
		});
	}

	klp_free_replaced_patches_async(new_patch: klp_patch): void {
		for (const old of [...this.klp_patches]) {
			if (old === new_patch) return;
			if (this.design.supersedes(new_patch, old)) this.klp_free_patch_async(old);
		}
	}
}
