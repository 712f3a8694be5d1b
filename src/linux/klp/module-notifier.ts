import { EINVAL, type Kernel } from "../lib/index.js";
import type { Core } from "./design.js";
import { klp_clear_relocs } from "./relocs.js";
import type { klp_object, klp_patch, module } from "./types.js";

/**
 * Patched objects that appear and disappear with modules (kernel/livepatch/core.c, klp_module_coming and
 * klp_module_going).
 */
export class ModuleNotifier {
	readonly #klp: Core;

	constructor(klp: Core) {
		this.#klp = klp;
	}

	/** Reverts the patches of a module that is unloaded; if `limit` is given, only the patches before it. */
	*#cleanup(mod: module, limit: klp_patch | undefined): Kernel<void> {
		const klp = this.#klp;
		for (const patch of [...klp.klp_patches]) {
			if (patch === limit) break;
			const obj = patch.obj_list.find((candidate) => candidate.name === mod.name);
			if (obj === undefined) continue;
			if (patch !== klp.transition.klp_transition_patch) yield* klp.klp_pre_unpatch_callback(obj);
			klp.print.pr_notice(`reverting patch '${patch.name}' on unloading module '${mod.name}'`);
			yield* klp.patching.klp_unpatch_object(obj);
			yield* klp.klp_post_unpatch_callback(obj);
			klp_clear_relocs(klp, patch.mod, mod.name);
			obj.mod = undefined;
			for (const func of obj.funcs) {
				func.old_func = 0;
				if (func.nop) func.new_func = 0;
			}
		}
	}

	*#applyTo(patch: klp_patch, obj: klp_object, mod: module): Kernel<number> {
		const klp = this.#klp;
		obj.mod = mod;
		let ret = klp.klp_init_object_loaded(patch, obj);
		if (ret !== 0) {
			klp.print.pr_warn(`failed to initialize patch '${patch.name}' for module '${mod.name}' (${ret})`);
			return ret;
		}
		klp.print.pr_notice(`applying patch '${patch.name}' to loading module '${mod.name}'`);
		ret = yield* klp.klp_pre_patch_callback(obj);
		if (ret !== 0) {
			klp.print.pr_warn(`pre-patch callback failed for object '${obj.label}'`);
			return ret;
		}
		ret = yield* klp.patching.klp_patch_object(obj);
		if (ret !== 0) {
			klp.print.pr_warn(`failed to apply patch '${patch.name}' to module '${mod.name}' (${ret})`);
			yield* klp.klp_post_unpatch_callback(obj);
			return ret;
		}
		if (patch !== klp.transition.klp_transition_patch) yield* klp.klp_post_patch_callback(obj);
		return 0;
	}

	/** Before a module's init: applies all patches that wait for the module. An error refuses the module. */
	*klp_module_coming(mod: module): Kernel<number> {
		const klp = this.#klp;
		if (mod.name === "vmlinux") {
			klp.print.pr_err("vmlinux.ko: invalid module name");
			return -EINVAL;
		}
		yield* klp.klp_mutex.lock();
		mod.klp_alive = true;
		for (const patch of [...klp.klp_patches]) {
			const obj = patch.obj_list.find((candidate) => candidate.name === mod.name);
			if (obj === undefined) continue;
			const ret = yield* this.#applyTo(patch, obj, mod);
			if (ret === 0) continue;
			klp.print.pr_warn(`patch '${patch.name}' failed for module '${mod.name}', refusing to load module '${mod.name}'`);
			mod.klp_alive = false;
			obj.mod = undefined;
			yield* this.#cleanup(mod, patch);
			klp.klp_mutex.unlock();
			return ret;
		}
		klp.klp_mutex.unlock();
		return 0;
	}

	*klp_module_going(mod: module): Kernel<void> {
		const klp = this.#klp;
		yield* klp.klp_mutex.lock();
		mod.klp_alive = false;
		yield* this.#cleanup(mod, undefined);
		klp.klp_mutex.unlock();
	}
}
