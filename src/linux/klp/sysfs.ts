import { declareState } from "../../base/index.js";
import { EACCES, EINVAL, ENOENT, type Kernel, S_IFDIR } from "../lib/index.js";
import type { Core } from "./design.js";
import type { klp_object, klp_patch } from "./types.js";

/** kstrtobool(): the texts for true and false in sysfs files; undefined for every other text. */
export function kstrtobool(text: string): boolean | undefined {
	const [first, second] = [text[0]?.toLowerCase(), text[1]?.toLowerCase()];
	if (first === "1" || first === "y" || first === "t") return true;
	if (first === "0" || first === "n" || first === "f") return false;
	if (first === "o" && second === "n") return true;
	if (first === "o" && second === "f") return false;
	return undefined;
}

/**
 * /sys/kernel/livepatch. Paths are relative to it: `lp1/enabled`, `lp1/vmlinux/patched`, `lp1/vmlinux/funcA,1` (a directory).
 */
export class Sysfs {
	/** Only the field `all` changes. */
	static readonly state = declareState("Sysfs", { fields: ["all"] });

	readonly #klp: Core;
	/** Patches with a kobject, whether or not they are on klp_patches any more. */
	readonly all: klp_patch[] = [];

	constructor(klp: Core) {
		this.#klp = klp;
	}

	/** Makes a patch known; it shows while its kobject is in sysfs. */
	add(patch: klp_patch): void {
		this.all.push(patch);
	}

	get patches(): readonly klp_patch[] {
		return this.all.filter((patch) => patch.in_sysfs);
	}

	#attributes(): string[] {
		const { design, env } = this.#klp;
		const own = Object.keys(design.attributes);
		return ["enabled", "transition", "force", ...own, ...(env.release.hasStackOrder ? ["stack_order"] : [])];
	}

	/** All readable files: path and value. */
	*entries(): Generator<[string, string], void, void> {
		for (const patch of this.patches) {
			for (const attribute of this.#attributes()) {
				const value = this.#show(patch, attribute);
				if (value !== undefined) yield [`${patch.name}/${attribute}`, value];
			}
			for (const obj of patch.obj_list) {
				if (obj.in_sysfs) yield [`${patch.name}/${obj.label}/patched`, obj.patched ? "1" : "0"];
			}
		}
	}

	/** The function directories of an object: `funcA,1`. */
	functions(obj: klp_object): string[] {
		return obj.funcs.filter((func) => func.in_sysfs).map((func) => `${func.old_name},${func.old_sympos || 1}`);
	}

	/** Every file and directory. */
	paths(): string[] {
		return this.patches.flatMap((patch) => [
			patch.name,
			...this.#attributes().map((attribute) => `${patch.name}/${attribute}`),
			...patch.obj_list
				.filter((obj) => obj.in_sysfs)
				.flatMap((obj) => this.#objectPaths(`${patch.name}/${obj.label}`, obj)),
		]);
	}

	#objectPaths(folder: string, obj: klp_object): string[] {
		return [folder, `${folder}/patched`, ...this.functions(obj).map((func) => `${folder}/${func}`)];
	}

	/** Permission bits (the kobj_attributes of kernel/livepatch/core.c); undefined: there is no such file. */
	mode(path: string): number | undefined {
		if (!this.paths().includes(path)) return undefined;
		const [, attribute, ...rest] = path.split("/");
		if (attribute === undefined) return S_IFDIR | 0o755;
		if (rest.length > 0) return rest[0] === "patched" ? 0o444 : S_IFDIR | 0o755;
		if (attribute === "force") return 0o200;
		if (attribute === "enabled" || this.#klp.design.attributes[attribute]?.store !== undefined) return 0o644;
		return this.#attributes().includes(attribute) ? 0o444 : S_IFDIR | 0o755;
	}

	#show(patch: klp_patch, attribute: string): string | undefined {
		switch (attribute) {
			case "enabled":
				return patch.enabled ? "1" : "0";
			case "transition":
				return patch === this.#klp.transition.klp_transition_patch ? "1" : "0";
			case "stack_order":
				return String(this.#klp.klp_patches.indexOf(patch) + 1);
			default:
				return this.#klp.design.attributes[attribute]?.show(patch);
		}
	}

	#find(path: string): { patch: klp_patch; rest: string[] } | undefined {
		const [name, ...rest] = path.split("/").filter((part) => part !== "");
		const patch = this.patches.find((candidate) => candidate.name === name);
		return patch === undefined ? undefined : { patch, rest };
	}

	/** The text of a file without its newline, or a negative errno. */
	read(path: string): string | number {
		const found = this.#find(path);
		if (found === undefined) return -ENOENT;
		const { patch, rest } = found;
		if (rest.length === 1) {
			if (rest[0] === "force") return -EACCES;
			return this.#show(patch, rest[0]!) ?? -ENOENT;
		}
		const obj = patch.obj_list.find((candidate) => candidate.in_sysfs && candidate.label === rest[0]);
		return obj !== undefined && rest.length === 2 && rest[1] === "patched" ? (obj.patched ? "1" : "0") : -ENOENT;
	}

	/** Writes to a file: 0 or a negative errno. */
	*write(path: string, value: string): Kernel<number> {
		const found = this.#find(path);
		if (found === undefined || found.rest.length === 0) return -ENOENT;
		const { patch, rest } = found;
		if (rest.length > 1) return -EACCES;
		const attribute = rest[0]!;
		if (attribute === "enabled") return yield* this.#enabled_store(patch, value);
		if (attribute === "force") return yield* this.#force_store(patch, value);
		if (!this.#attributes().includes(attribute)) return -ENOENT;
		const store = this.#klp.design.attributes[attribute]?.store;
		if (store === undefined) return -EACCES;
		yield* this.#klp.klp_mutex.lock();
		const ret = store(this.#klp, patch, value);
		this.#klp.klp_mutex.unlock();
		return ret;
	}

	*#enabled_store(patch: klp_patch, value: string): Kernel<number> {
		const klp = this.#klp;
		const enabled = kstrtobool(value);
		if (enabled === undefined) return -EINVAL;
		yield* klp.klp_mutex.lock();
		let ret = 0;
		if (patch.enabled === enabled) ret = -EINVAL;
		else if (patch === klp.transition.klp_transition_patch) yield* klp.transition.klp_reverse_transition();
		else if (!enabled) ret = yield* klp.__klp_disable_patch(patch);
		else ret = -EINVAL;
		klp.klp_mutex.unlock();
		return ret;
	}

	*#force_store(patch: klp_patch, value: string): Kernel<number> {
		const klp = this.#klp;
		const force = kstrtobool(value);
		if (force === undefined) return -EINVAL;
		if (!force) return 0;
		yield* klp.klp_mutex.lock();
		let ret = 0;
		if (patch === klp.transition.klp_transition_patch) yield* klp.transition.klp_force_transition();
		else ret = -EINVAL;
		klp.klp_mutex.unlock();
		return ret;
	}
}
