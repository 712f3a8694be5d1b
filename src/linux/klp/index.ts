export type { Core, Design, KlpParts, PatchAttribute } from "./design.js";
export {
	bool,
	type DesignKeys,
	type Field,
	type FieldValues,
	type ForeignKey,
	fieldAccesses,
	refusalOf,
	textOf,
	u32,
	type WithFields,
} from "./fields.js";
export {
	type CustomHandler,
	type HandlerAt,
	type HandlerChoice,
	type HandlerRules,
	klp_ftrace_handler_step,
} from "./handler.js";
export { entryKey } from "./handler-places.js";
export { Klp } from "./klp.js";
export type {
	CoreCode,
	EntryId,
	GuestTaskField,
	HandlerPlace,
	HandlerStep,
	Implementation,
	KlpObserver,
	Livepatch,
	LivepatchSysfs,
	StackEntry,
} from "./livepatch.js";
export { LINUX_6_12, type Release } from "./release.js";
export { klp_clear_relocs } from "./relocs.js";
export { type klp_shadow_ctor_t, type klp_shadow_dtor_t, Shadow } from "./shadow.js";
export { klp_get_prev_state } from "./state.js";
export { kstrtobool } from "./sysfs.js";
export { onStack } from "./transition.js";
export * from "./types.js";
