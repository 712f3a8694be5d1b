import type { Invariant } from "../src/consistency/index.js";

/**
 * Notes on findings for the reader: earlier reports of the same problem, or the reason why it is not an artefact of the
 * model.
 */
interface Note {
	readonly invariant: Invariant | undefined;
	/** Part of the scenario's file name. */
	readonly scenario: string;
	readonly design?: RegExp;
	readonly text: string;
}

const MAIL = "https://lore.kernel.org/live-patching/Z5eYzcF5JLR4o5Yl@pathway.suse.cz";

const NOTES: readonly Note[] = [
	{
		invariant: undefined,
		scenario: "exit-path",
		text: `An exiting task that has left the task list is seen by no transition (findings/8-exiting-tasks.md). That is behind every design: what a
task does after exit_notify() belongs to no universe.`,
	},
	{
		invariant: undefined,
		scenario: "cold-part",
		text: `klp_check_stack_func() compares with the range of the function's symbol, and NAME.cold is another one. kpatch-build and klp-build patch
both pieces together; a livepatch written by hand says \`__noinline\` and -fno-reorder-blocks-and-partition (\`klpemu check\`: cold-piece).`,
	},
	{
		invariant: "deadlock",
		scenario: "flush-locked",
		text: "A mistake of the livepatch's author, found from the C alone: callbacks run under klp_mutex, and what they wait for must need nothing of theirs.",
	},
	{
		invariant: "use-after-free",
		scenario: "bottom-reverse",
		text: `*New.* klp_check_stack_func() (kernel/livepatch/transition.c of 6.12, lines 233 to 246) asks list_is_singular() whether the
entry is alone, and otherwise takes list_next_entry() of it. The entry at the bottom of several is not alone, and what follows it
is the list head inside struct klp_ops: new_func and new_size are read from memory in front of or inside struct klp_ops. It takes
klp_target_state == KLP_TRANSITION_PATCHED with a transition patch that is not on top, which only the reversal of a disable gives.
What is read there may be a range that covers all of the kernel's text: then every kernel thread "is sleeping on" the function, and the
transition does not end. So it came on a real kernel, and KASAN reports slab-out-of-bounds (findings/1-bottom-of-func-stack.md).`,
	},
	{
		invariant: "use-after-free",
		scenario: "alias-reverse",
		text: `*New.* The same as in bottom-reverse, with the two livepatches under two names of one function: klp_ops is found by address, so that they
share a func_stack, and no comparison of names (klp_find_func(), the sets of replace-set-v2) sees that they overlap
(findings/1-bottom-of-func-stack.md, findings/3-two-names-of-one-function.md).`,
	},
	{
		invariant: "use-after-free",
		scenario: "",
		design: /^rfc|^replace-/,
		text: `*New.* In mainline a nop is always the last entry of its func_stack when klp_discard_nops() removes it, so that
klp_unpatch_func() goes through unregister_ftrace_function(), which waits for all handlers, before the nop is freed. Where a patch
that stays has an entry below, the nop leaves by list_del_rcu() alone, and __klp_free_objects() frees it at once (kobject_put() ->
klp_kobj_release_func() -> kfree()): a handler on another CPU that has fetched the nop still reads func->transition and func->nop.`,
	},
	{
		invariant: undefined,
		scenario: "two-names",
		text: `*New.* One ordinary livepatch that names a function twice puts two entries of its own on one func_stack, both in transition:
klp_ftrace_handler() takes one step back from the first onto the second, so that a task that has not switched runs the new function, and
klp_check_stack_func() looks for the original nowhere. Seen on a real kernel, with names that vmlinux has
(findings/3-two-names-of-one-function.md). A series of 2026 refuses such a livepatch.`,
	},
	{
		invariant: undefined,
		scenario: "one-address",
		text: `*New.* klp_ops and func_stack are found by address (klp_find_ops()), but klp_find_func() and everything that compares patches goes
by name and sympos. Two names of one function (an alias in kallsyms) are two klp_funcs on one func_stack: mainline's klp_add_nops()
adds a nop for each, and klp_ftrace_handler() takes one step back from the first entry only, onto the second nop. Comparisons of
functions, such as replace-set-v2's, do not see that two sets overlap. One livepatch with both names is worse: two-names
(findings/3-two-names-of-one-function.md).`,
	},
	{
		invariant: undefined,
		scenario: "preempted",
		text: `*New.* Only with CONFIG_PREEMPTION. klp_ftrace_handler() ends in ftrace_test_recursion_unlock(), that is preempt_enable_notrace(): a
place where the task is likely to lose its CPU. By then regs->ip holds the chosen function, but ftrace_caller copies it to the
return address only afterwards. The stack of the preempted task shows the trampoline and the entry of the original function, and
not what it is about to jump to; klp_check_stack_func() looks for exactly that (prev->new_func), does not find it and lets the
task switch. The first patch of a function is safe, for there the original's entry is what is looked for. When the older patch is
replaced, its module can go too: free_module() waits for synchronize_rcu(), which a preempted task does not hold up. Looking for
the original's range as well closes it, at the price of waiting for tasks that are just entering.`,
	},
	{
		invariant: undefined,
		scenario: "sysfs-writer",
		design: /^rfc/,
		text: `*New.* lp2's \`replaceable\` is read twice: by klp_add_nops() when lp3 is loaded, and by klp_unpatch_replaced_patches() when its
transition completes. klp_mutex is free in between, and replaceable_store() refuses with -EAGAIN only for the transition patch itself.
Written in between, nops come without the replacement, or the replacement without nops: then a sleeper returns into freed text
(findings/5-replaceable-in-a-transition.md).`,
	},
	{
		invariant: "mixed-universe",
		scenario: "hybrid",
		design: /^rfc-2025$/,
		text: `Published: Petr Mladek, ${MAIL}. This is the schedule of the mail.`,
	},
	{
		invariant: undefined,
		scenario: "hybrid",
		design: /^rfc-2025-no-nop$/,
		text: `Published in substance: the mail (${MAIL}) says that leaving out the nop is the first of several steps.`,
	},
	{
		invariant: "sudden-change",
		scenario: "",
		design: /^rfc-2025/,
		text: `Published: the second half of ${MAIL}; what is below a nop or a replaced entry comes to light when that leaves func_stack.`,
	},
	{
		invariant: "mixed-universe",
		scenario: "",
		design: /^rfc-2025/,
		text: `Published in substance: the violation of ${MAIL}, with other patches.`,
	},
	{
		invariant: undefined,
		scenario: "",
		design: /^replace-tag/,
		text: `*New.* klp_add_nops() of the draft is mainline's and does not look at tags: a patch with a tag gets nops for functions of patches
that stay, and they hide those until the transition completes.`,
	},
	{
		invariant: undefined,
		scenario: "",
		design: /^replace-set-v1/,
		text: "Known: version 2 of the series refuses sets that share a function for this reason.",
	},
];

/** The note on a finding; undefined if there is none. */
export function noteOn(scenario: string, invariant: Invariant, design: string): string | undefined {
	const fits = (note: Note) =>
		(note.invariant === undefined || note.invariant === invariant) &&
		scenario.includes(note.scenario) &&
		(note.design === undefined || note.design.test(design));
	return NOTES.find(fits)?.text;
}
