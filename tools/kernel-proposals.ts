/**
 * npx tsx tools/kernel-proposals.ts NAME TREE: a proposal for kernel/livepatch as a unified diff of that source, for klpemu kernel build
 * --patch. The lines are ours; what they do is the proposal's.
 */
import { pathToFileURL } from "node:url";
import { diffOf, type SourceEdit } from "./source-edits.js";

const CORE = "kernel/livepatch/core.c";
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
