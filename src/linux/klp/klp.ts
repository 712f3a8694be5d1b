import { declareState } from "../../base/index.js";
import type { Kaddr } from "../../memory/index.js";
import type { Kernel } from "../lib/index.js";
import type { task_struct, work_struct } from "../sched/index.js";
import { KlpCore } from "./core.js";
import type { Design, KlpParts } from "./design.js";
import { type HotHandler, klp_ftrace_handler } from "./handler.js";
import { HandlerPlaces } from "./handler-places.js";
import type { HandlerPlace, HandlerStep, Implementation, Livepatch, StackEntry } from "./livepatch.js";
import { ModuleNotifier } from "./module-notifier.js";
import { klp_apply_relocs } from "./relocs.js";
import { Sysfs } from "./sysfs.js";
import { KLP_TRANSITION_PATCHED, type klp_patch, type module } from "./types.js";
import { watchPromises, watchStack } from "./watch.js";

/** The livepatch core in TypeScript, with all its parts: kernel/livepatch/{core,patch,transition}.c. */
export class Klp extends KlpCore implements Livepatch {
	static readonly state = declareState("Klp", {
		fields: ["klp_mutex", "klp_patches", "patching", "transition", "sysfs"],
		dropCaches: (klp: Klp) => {
			for (const { forget } of klp.#handlers) forget();
		},
	});

	readonly compiledFrom = undefined;
	readonly code = undefined;
	readonly sysfs: Sysfs;
	readonly notifier: ModuleNotifier;
	readonly #handlerPlaces: HandlerPlaces;
	/** The handlers that were made. */
	readonly #handlers: HotHandler[] = [];

	constructor(env: KlpParts, design: Design) {
		super(env, design);
		this.sysfs = new Sysfs(this);
		this.notifier = new ModuleNotifier(this);
		this.#handlerPlaces = new HandlerPlaces(this, this.sysfs.all);
	}

	override *klp_enable_patch(patch: klp_patch): Kernel<number> {
		this.sysfs.add(patch);
		for (const observer of this.env.observers) observer.enable?.(patch);
		return yield* super.klp_enable_patch(patch);
	}
	klp_apply_section_relocs(mod: module): number {
		return klp_apply_relocs(this, mod, "vmlinux");
	}
	klp_module_coming(mod: module): Kernel<number> {
		return this.notifier.klp_module_coming(mod);
	}
	klp_module_going(mod: module): Kernel<void> {
		return this.notifier.klp_module_going(mod);
	}

	klp_copy_process(parent: task_struct, child: task_struct): void {
		this.transition.klp_copy_process(parent, child);
	}
	klp_update_patch_state(task: task_struct): Kernel<void> {
		return this.transition.klp_update_patch_state(task);
	}
	__klp_sched_try_switch(): Kernel<void> {
		return this.transition.__klp_sched_try_switch();
	}
	get klp_sched_try_switch_key(): boolean {
		return this.transition.klp_sched_try_switch_key;
	}

	/** Makes the handler's gate, see klp_ftrace_handler(). */
	makeHandler(caught: (error: unknown) => number): (fops: Kaddr) => Kaddr {
		const handler = klp_ftrace_handler(this.env, this.design, caught);
		this.#handlers.push(handler);
		return handler.handle;
	}
	get klp_ftrace_handler_address(): Kaddr {
		return this.env.klp_ftrace_handler_address;
	}

	get inTransition(): string | undefined {
		return this.transition.klp_transition_patch?.name;
	}
	get klp_target_state(): number {
		return this.transition.klp_target_state;
	}
	wouldRun(old_func: Kaddr, patch_state: number): Implementation | undefined {
		const ops = this.patching.klp_find_ops(old_func);
		return ops === undefined ? undefined : this.select(ops, patch_state);
	}
	funcStack(old_func: Kaddr): readonly StackEntry[] {
		return [...(this.patching.klp_find_ops(old_func)?.func_stack ?? [])];
	}
	promised(when: "now" | "after", old_func: Kaddr): Implementation | undefined {
		const enabled = when === "now" ? this.klp_patches.filter((patch) => patch.enabled) : this.#enabledAfter();
		return this.design.promise(enabled, old_func);
	}

	watchStack(old_func: Kaddr): () => boolean {
		return watchStack(this, old_func);
	}
	watchPromises(): () => boolean {
		return watchPromises(this);
	}

	/** The patches that will be enabled when the running transition has reached its target. */
	#enabledAfter(): readonly klp_patch[] {
		const { klp_transition_patch: patch, klp_target_state } = this.transition;
		const others = this.klp_patches.filter((other) => other.enabled && other !== patch);
		if (patch === undefined || klp_target_state !== KLP_TRANSITION_PATCHED) return others;
		const goes = (other: klp_patch) => this.design.supersedes(patch, other);
		const stay = this.design.replacesOnCompletion(patch) ? others.filter((other) => !goes(other)) : others;
		return [...stay, patch];
	}

	isTransitionWork(work: work_struct | undefined): boolean {
		return work === this.transition.klp_transition_work;
	}
	get klp_signals_cnt(): number {
		return this.transition.klp_signals_cnt;
	}
	set klp_signals_cnt(count: number) {
		this.transition.klp_signals_cnt = count;
	}
	handlerStep(at: HandlerPlace | undefined, fops: Kaddr, fregs: Kaddr): HandlerStep {
		return this.#handlerPlaces.step(at, fops, fregs);
	}
	handlerKey(): readonly unknown[] {
		return this.#handlerPlaces.key();
	}
	get handlerRules(): Design {
		return this.design;
	}
}
