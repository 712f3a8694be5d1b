/**
 * npx tsx tools/kernel-proposals.ts NAME TREE: a proposal for kernel/livepatch as a unified diff of that source, for klpemu kernel build
 * --patch. The lines are ours; what they do is the proposal's.
 */
import { pathToFileURL } from "node:url";
import { universe } from "./kernel-universe.js";
import { diffOf, type SourceEdit } from "./source-edits.js";

const CORE = "kernel/livepatch/core.c";
const TRANSITION = "kernel/livepatch/transition.c";
const KEEP = "\t\tif (!old_patch->replaceable)\n\t\t\tcontinue;";

export const proposals: Readonly<Record<string, readonly SourceEdit[]>> = {
	/** The "hybrid mode" RFC of January 2025: a patch is only replaced if it allows that. */
	"rfc-2025": [
		{ file: "include/linux/livepatch.h", at: [/^struct klp_patch \{/, /bool replace;/], insert: "\tbool replaceable;" },
		{ file: CORE, at: [/^static int klp_add_nops\(/, /klp_for_each_patch\(/], insert: KEEP },
		{ file: CORE, at: [/^void klp_unpatch_replaced_patches\(/, /klp_for_each_patch\(/, /return;/], insert: KEEP },
		{ file: CORE, at: [/^void klp_free_replaced_patches_async\(/, /klp_for_each_patch/, /return;/], insert: KEEP },
		{
			file: CORE,
			at: [/^static struct kobj_attribute replace_kobj_attr/],
			insert: `
static ssize_t replaceable_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\\n", container_of(kobj, struct klp_patch, kobj)->replaceable);
}

static ssize_t replaceable_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf, size_t count)
{
	struct klp_patch *patch = container_of(kobj, struct klp_patch, kobj);
	bool wanted;
	int ret = kstrtobool(buf, &wanted);

	if (ret)
		return ret;
	mutex_lock(&klp_mutex);
	if (patch->replaceable != wanted && patch == klp_transition_patch)
		ret = -EAGAIN;
	else
		patch->replaceable = wanted;
	mutex_unlock(&klp_mutex);
	return ret ? ret : count;
}

static struct kobj_attribute replaceable_kobj_attr = __ATTR_RW(replaceable);`,
		},
		{ file: CORE, at: [/&replace_kobj_attr\.attr,/], insert: "\t&replaceable_kobj_attr.attr," },
	],
	/** Our own design: docs/universe-in-c.md. */
	universe,
	/** docs/findings: the smallest change of Linux 6.12 that removes the cause of each finding (those of the RFC: behind `rfc-2025`). */
	"finding-1": [
		{
			file: TRANSITION,
			at: [/^static int klp_check_stack_func\(/, /list_is_singular\(&ops->func_stack\)/],
			replace: "list_is_last(&func->stack_node, &ops->func_stack)",
		},
	],
	"finding-2": [
		{
			file: TRANSITION,
			at: [/^static int klp_check_stack_func\(/, /address = entries\[i\];/],
			insert: `
		/* A task on its way through the handler has the original on its stack, and not yet what was chosen. */
		if (address - (unsigned long)func->old_func < func->old_size)
			return -EAGAIN;`,
		},
	],
	"finding-3": [
		{
			file: CORE,
			at: [/^static int klp_init_object_loaded\(/, /klp_for_each_func\(/, /klp_find_object_symbol\(/, /return ret;/],
			insert: `
		/* Two names of one address would be two entries of this patch on one func_stack. */
		list_for_each_entry(other, &obj->func_list, node) {
			if (other == func)
				break;
			if (other->old_func == func->old_func)
				return -EINVAL;
		}`,
		},
		{
			file: CORE,
			at: [/^static int klp_init_object_loaded\(/, /struct klp_func \*func;/],
			insert: "\tstruct klp_func *other;",
		},
	],
	"finding-6": [
		{
			file: TRANSITION,
			at: [/^void klp_force_transition\(/, /else if \(klp_transition_patch->replace\)/],
			replace: "else",
		},
	],
	"finding-8": [
		{
			file: CORE,
			at: [/^static void klp_free_patch_finish\(/, /wait_for_completion\(/],
			insert: `
	/* A task that exits is in no transition once it has left the task list; a grace period of RCU tasks waits for it. */
	synchronize_rcu_tasks();`,
		},
	],
	"finding-7": [
		{
			file: CORE,
			at: [/^int klp_module_coming\(/, /^err:/, /mod->klp_alive = false;/],
			insert: "\tklp_clear_object_relocs(patch, obj);",
		},
	],
};

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
	const [name = "", tree = ""] = process.argv.slice(2);
	const edits = proposals[name];
	if (edits === undefined || tree === "") {
		console.error(`npx tsx tools/kernel-proposals.ts ${Object.keys(proposals).join("|")} TREE`);
		process.exit(2);
	}
	process.stdout.write(diffOf(tree, edits));
}
