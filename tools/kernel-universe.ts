/**
 * The design `universe` (src/designs/universe.ts) as a change of Linux 6.12: docs/universe-in-c.md says what it does, and why that is all.
 * The first part makes entries of func_stack visible in one universe or in both; the second one removes the nops, which nothing needs then.
 */
import type { SourceEdit } from "./source-edits.js";

const HEADER = "include/linux/livepatch.h";
const INTERNAL = "kernel/livepatch/core.h";
const CORE = "kernel/livepatch/core.c";
const PATCH = "kernel/livepatch/patch.c";
const PATCH_H = "kernel/livepatch/patch.h";
const TRANSITION = "kernel/livepatch/transition.c";

const END = /^\}/;

const structs: readonly SourceEdit[] = [
	{
		file: HEADER,
		at: [/^ \* struct klp_func /, /@nop:.*/],
		replace: "@leaving:	a transition removes the func: tasks see it until they switch. All other funcs",
	},
	{
		file: HEADER,
		at: [/^ \* struct klp_func /, /@leaving:/],
		insert: " *		in transition are new: tasks see them from then on",
	},
	{ file: HEADER, at: [/^struct klp_func \{/, /bool nop;/], replace: "bool leaving;" },
	{
		file: HEADER,
		at: [/^ \* struct klp_object /, /@dynamic:.*/],
		replace: "@dynamic:	not used any more; it keeps the struct as it is in modules that exist",
	},
	{
		file: HEADER,
		at: [/^ \* struct klp_patch /, /@replace:/],
		insert: " * @keep:	stays when a later patch with @replace is enabled",
	},
	{ file: HEADER, at: [/^struct klp_patch \{/, /bool replace;/], insert: "\tbool keep;" },
	{
		file: INTERNAL,
		at: [/^#define klp_for_each_patch\(/, /list_for_each_entry/],
		insert: `
/* The patches that a patch replaces: all older ones, but those that are kept. */
#define klp_for_each_replaced(patch, old)			\\
	klp_for_each_patch(old)					\\
		if (old == patch)				\\
			break;					\\
		else if (!patch->replace || old->keep)		\\
			continue;				\\
		else`,
	},
];

const handler: readonly SourceEdit[] = [
	{
		file: PATCH_H,
		at: [/^struct klp_ops \*klp_find_ops/],
		insert: `
/*
 * While a func is in transition, it is in one universe only: in the old one
 * (KLP_TRANSITION_UNPATCHED) if it is removed, else in the new one.
 */
static inline bool klp_func_is_in(struct klp_func *func, int patch_state)
{
	return patch_state == (func->leaving ? KLP_TRANSITION_UNPATCHED : KLP_TRANSITION_PATCHED);
}`,
	},
	{
		file: PATCH,
		at: [/klp_ftrace_handler\(/, /if \(unlikely\(func->transition\)\) \{/],
		through: /^\t\}$/,
		replace: `	/* The task runs the first entry that is in its universe; the original, if there is none. */
	while (unlikely(func->transition)) {
		/*
		 * Order the reads of func->transition, and of func->leaving and
		 * current->patch_state. The write barriers are in
		 * klp_split_funcs() and klp_init_transition().
		 */
		smp_rmb();

		patch_state = current->patch_state;

		WARN_ON_ONCE(patch_state == KLP_TRANSITION_IDLE);

		if (klp_func_is_in(func, patch_state))
			break;

		func = list_entry_rcu(func->stack_node.next,
				      struct klp_func, stack_node);

		if (&func->stack_node == &ops->func_stack)
			goto unlock;
	}`,
	},
];

const transition: readonly SourceEdit[] = [
	{
		file: TRANSITION,
		at: [/^static void klp_complete_transition\(/],
		withComment: true,
		through: /^\{/,
		replace: `/* From now on each func of the patch is in one universe only. */
static void klp_split_funcs(struct klp_patch *patch, bool leaving)
{
	struct klp_object *obj;
	struct klp_func *func;

	klp_for_each_object(patch, obj)
		klp_for_each_func(obj, func) {
			func->leaving = leaving;
			/* The read barrier is in klp_ftrace_handler(). */
			smp_wmb();
			func->transition = true;
		}
}

/* From now on each func of the patch is in both universes. */
static void klp_join_funcs(struct klp_patch *patch)
{
	struct klp_object *obj;
	struct klp_func *func;

	klp_for_each_object(patch, obj)
		klp_for_each_func(obj, func)
			func->transition = false;
}

/*
 * The transition to the target patch state is complete. What is taken from
 * func_stacks here is in the universe that no task is in any more, so that
 * nothing changes for anybody.
 */
static void klp_complete_transition(void)
{
	struct klp_patch *old;`,
	},
	{
		file: TRANSITION,
		at: [/^static void klp_complete_transition\(/, /^\tstruct klp_func \*func;/],
		through: /klp_func \*func;/,
		replace: "",
	},
	{
		file: TRANSITION,
		at: [/^static void klp_complete_transition\(/, /klp_transition_patch->replace && klp_target_state/],
		through: /^\t\}/,
		replace: `	if (klp_target_state == KLP_TRANSITION_PATCHED)
		klp_unpatch_replaced_patches(klp_transition_patch);`,
	},
	{
		file: TRANSITION,
		at: [/^static void klp_complete_transition\(/, /klp_synchronize_transition\(\);/],
		insert: `
		/* Reversed: what was to be replaced stays. */
		klp_for_each_replaced(klp_transition_patch, old)
			klp_join_funcs(old);`,
	},
	{
		file: TRANSITION,
		at: [/^static void klp_complete_transition\(/, /^\tklp_for_each_object\(klp_transition_patch, obj\)$/],
		through: /func->transition = false;/,
		replace: "\tklp_join_funcs(klp_transition_patch);",
	},
	{
		file: TRANSITION,
		at: [
			/^static void klp_complete_transition\(/,
			/klp_join_funcs\(klp_transition_patch\)/,
			/if \(klp_target_state == KLP_TRANSITION_PATCHED\)/,
		],
		through: /klp_synchronize_transition\(\);/,
		replace: "\tklp_synchronize_transition();",
	},
	{
		file: TRANSITION,
		at: [/^void klp_init_transition\(/, /^\tstruct klp_object \*obj;/],
		through: /struct klp_func \*func;/,
		replace: "\tstruct klp_patch *old;",
	},
	{
		file: TRANSITION,
		at: [/^void klp_init_transition\(/, /^\tklp_for_each_object\(patch, obj\)/],
		through: /func->transition = true;/,
		replace: `	if (state == KLP_TRANSITION_PATCHED) {
		klp_for_each_replaced(patch, old)
			klp_split_funcs(old, true);
	}
	klp_split_funcs(patch, false);`,
	},
	{
		file: TRANSITION,
		at: [/^void klp_force_transition\(/, /else if \(klp_transition_patch->replace\)/],
		through: /^\t\}/,
		replace: `	else {
		klp_for_each_replaced(klp_transition_patch, patch)
			patch->forced = true;
	}`,
	},
];

const stackCheck: readonly SourceEdit[] = [
	{
		file: TRANSITION,
		at: [/^static int klp_check_stack_func\(/],
		withComment: true,
		through: END,
		replace: `/* The func that a task in this universe runs; NULL: the original. */
static struct klp_func *klp_visible_func(struct klp_ops *ops, int patch_state)
{
	struct klp_func *func;

	list_for_each_entry(func, &ops->func_stack, stack_node)
		if (!func->transition || klp_func_is_in(func, patch_state))
			return func;
	return NULL;
}

static bool klp_on_stack(unsigned long *entries, unsigned int nr_entries,
			 void *addr, unsigned long size)
{
	unsigned int i;

	for (i = 0; i < nr_entries; i++)
		if (entries[i] - (unsigned long)addr < size)
			return true;
	return false;
}

/* A task that switches leaves what it runs in its universe for something else: it must not be in there. */
static int klp_check_stack_func(struct klp_func *func, unsigned long *entries,
				unsigned int nr_entries)
{
	struct klp_ops *ops = klp_find_ops(func->old_func);
	struct klp_func *from = klp_visible_func(ops, !klp_target_state);
	bool removed = !klp_func_is_in(func, klp_target_state);

	/* Code that will be removed must be on no stack: a forced task may be in what it does not see any more. */
	if (removed && klp_on_stack(entries, nr_entries, func->new_func, func->new_size))
		return -EAGAIN;

	if (from == klp_visible_func(ops, klp_target_state))
		return 0;

	if (from && klp_on_stack(entries, nr_entries, from->new_func, from->new_size))
		return -EAGAIN;

	/* The original; and a task on its way through the handler has it on its stack, not yet what it has chosen. */
	if (klp_on_stack(entries, nr_entries, func->old_func, func->old_size))
		return -EAGAIN;

	return 0;
}

static int klp_check_stack_patch(struct klp_patch *patch, unsigned long *entries,
				 unsigned int nr_entries, const char **oldname)
{
	struct klp_object *obj;
	struct klp_func *func;

	klp_for_each_object(patch, obj) {
		if (!obj->patched)
			continue;
		klp_for_each_func(obj, func) {
			if (klp_check_stack_func(func, entries, nr_entries)) {
				*oldname = func->old_name;
				return -EADDRINUSE;
			}
		}
	}
	return 0;
}`,
	},
	{
		file: TRANSITION,
		at: [/^static int klp_check_stack\(/, /^\tstruct klp_object \*obj;/],
		through: /struct klp_func \*func;/,
		replace: "\tstruct klp_patch *old;",
	},
	{
		file: TRANSITION,
		at: [/^static int klp_check_stack\(/, /^\tklp_for_each_object\(/],
		through: /^\treturn 0;/,
		replace: `	klp_for_each_replaced(klp_transition_patch, old) {
		ret = klp_check_stack_patch(old, entries, nr_entries, oldname);
		if (ret)
			return ret;
	}
	return klp_check_stack_patch(klp_transition_patch, entries, nr_entries, oldname);`,
	},
];

const replacing: readonly SourceEdit[] = [
	{
		file: CORE,
		at: [/^void klp_unpatch_replaced_patches\(/],
		withComment: true,
		through: END,
		replace: `/*
 * This function unpatches objects from the replaced livepatches. Their funcs
 * are in the old universe, and all tasks are in the new one: the handler
 * passes over them already. After a forced transition it may still see a
 * removed func, thanks to RCU; such patches stay in memory.
 */
void klp_unpatch_replaced_patches(struct klp_patch *new_patch)
{
	struct klp_patch *old_patch;

	klp_for_each_replaced(new_patch, old_patch) {
		old_patch->enabled = false;
		klp_unpatch_objects(old_patch);
	}
}`,
	},
	{
		file: CORE,
		at: [/^void klp_free_replaced_patches_async\(/, /return;/],
		insert: "\t\tif (old_patch->keep)\n\t\t\tcontinue;",
	},
	{
		file: CORE,
		at: [/^static int klp_init_func\(/, /func->transition = false;/],
		insert: "\tfunc->leaving = false;",
	},
	{
		file: CORE,
		at: [/^static struct kobj_attribute enabled_kobj_attr/],
		replace: `static ssize_t replaceable_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\\n", !container_of(kobj, struct klp_patch, kobj)->keep);
}

static struct kobj_attribute replaceable_kobj_attr = __ATTR_RO(replaceable);
static struct kobj_attribute enabled_kobj_attr`,
	},
	{ file: CORE, at: [/&replace_kobj_attr\.attr,/], insert: "\t&replaceable_kobj_attr.attr," },
];

/** A function goes, with the comment above it if it has one. */
const without = (file: string, at: RegExp, withComment?: true): SourceEdit => ({
	file,
	at: [at],
	through: END,
	...(withComment && { withComment }),
	replace: "",
});

const nops: readonly SourceEdit[] = [
	without(CORE, /^static struct klp_func \*klp_find_func\(/),
	without(CORE, /^static struct klp_object \*klp_find_object\(/),
	{ file: CORE, at: [/^static void klp_init_func_early\(/], through: /\*obj\);$/, replace: "" },
	without(CORE, /^static void klp_free_object_dynamic\(/),
	without(CORE, /^static struct klp_object \*klp_alloc_object_dynamic\(/),
	without(CORE, /^static void klp_free_func_nop\(/),
	without(CORE, /^static struct klp_func \*klp_alloc_func_nop\(/),
	without(CORE, /^static int klp_add_object_nops\(/),
	without(CORE, /^static int klp_add_nops\(/, true),
	without(CORE, /^void klp_discard_nops\(/, true),
	{ file: INTERNAL, at: [/klp_discard_nops/], through: /klp_discard_nops/, replace: "" },
	{
		file: CORE,
		at: [/^static void klp_kobj_release_object\(/, /^\{/],
		through: END,
		replace: "{\n\t/* It lies in the module of the patch. */\n}",
	},
	{
		file: CORE,
		at: [/^static void klp_kobj_release_func\(/, /^\{/],
		through: END,
		replace: "{\n\t/* It lies in the module of the patch. */\n}",
	},
	{ file: CORE, at: [/^static void __klp_free_funcs\(/, /, bool nops_only/], replace: "" },
	{ file: CORE, at: [/^static void __klp_free_funcs\(/, /if \(nops_only/], through: /continue;/, replace: "" },
	{ file: CORE, at: [/^static void klp_free_objects\(/], through: END, replace: "" },
	{ file: CORE, at: [/^static void klp_free_objects_dynamic\(/], through: END, replace: "" },
	{ file: CORE, at: [/^static void __klp_free_objects\(/, /if \(nops_only/], through: /continue;/, replace: "" },
	{
		file: CORE,
		at: [/^static void __klp_free_objects\(/, /__klp_free_funcs\(obj, nops_only\)/],
		replace: "__klp_free_funcs(obj)",
	},
	{
		file: CORE,
		at: [/^static void __klp_free_objects\(struct klp_patch \*patch, bool nops_only\)/],
		replace: "static void klp_free_objects(struct klp_patch *patch)",
	},
	{
		file: CORE,
		at: [/^static void klp_free_object_loaded\(/, /klp_for_each_func\(/],
		through: /^\t\}/,
		replace: "\tklp_for_each_func(obj, func)\n\t\tfunc->old_func = NULL;",
	},
	{
		file: CORE,
		at: [/^static int klp_init_func\(/, / && !func->nop/],
		withComment: true,
		through: / && !func->nop/,
		replace: "\tif (!func->new_func)",
	},
	{
		file: CORE,
		at: [/^static int klp_init_object_loaded\(/, /if \(func->nop\)/],
		through: /new_func = func->old_func;/,
		replace: "",
	},
	{ file: CORE, at: [/^static int klp_init_patch\(/, /if \(patch->replace\) \{/], through: /^\t\}/, replace: "" },
	{
		file: PATCH,
		at: [/klp_ftrace_handler\(/, /if \(func->nop\)/],
		withComment: true,
		through: /goto unlock;/,
		replace: "",
	},
	{ file: PATCH, at: [/^static void __klp_unpatch_object\(/], through: END, replace: "" },
	{
		file: PATCH,
		at: [/^void klp_unpatch_object\(/, /^\{/],
		through: END,
		replace: `{
	struct klp_func *func;

	klp_for_each_func(obj, func)
		if (func->patched)
			klp_unpatch_func(func);
	obj->patched = false;
}`,
	},
	{ file: PATCH, at: [/^static void __klp_unpatch_objects\(/], through: END, replace: "" },
	{
		file: PATCH,
		at: [/^void klp_unpatch_objects\(/, /^\{/],
		through: END,
		replace: `{
	struct klp_object *obj;

	klp_for_each_object(patch, obj)
		if (obj->patched)
			klp_unpatch_object(obj);
}`,
	},
	{ file: PATCH, at: [/^void klp_unpatch_objects_dynamic\(/], through: END, replace: "" },
	{ file: PATCH_H, at: [/klp_unpatch_objects_dynamic/], through: /klp_unpatch_objects_dynamic/, replace: "" },
];

export const universe: readonly SourceEdit[] = [
	...structs,
	...handler,
	...transition,
	...stackCheck,
	...replacing,
	...nops,
];
