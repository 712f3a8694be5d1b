/**
 * Addresses of the areas of the guest. The lower part of the window is text and data, as in the kernel; stacks come
 * last.
 */
export const LAYOUT = {
	entry: -0x7fff_0000,
	ftrace: -0x7ffe_0000,
	ftraceOps: -0x7ffd_8000,
	gates: -0x7ffd_0000,
	/** Gates for a livepatch core that is guest code, memory for looks at it, and its object. */
	coreGates: -0x7ffc_0000,
	coreScratch: -0x7ffb_0000,
	/** The variable function_trace_op, then every struct ftrace_ops. */
	data: -0x7ff0_0000,
	dataEnd: -0x7fec_0000,
	core: -0x7feb_0000,
	percpu: -0x7fe0_0000,
	/** kmalloc(). */
	heap: -0x7fc0_0000,
	heapEnd: -0x7f00_0000,
	vmlinux: -0x7f00_0000,
	/** Struct task_structs of such a core. */
	tasks: -0x7000_0000,
	/** The kernel's variables, and task_structs, for .ko files. */
	kernelData: -0x6800_0000,
	kernelDataEnd: -0x6000_0000,
	modules: -0x6000_0000,
	modulesEnd: -0x4000_0000,
	stacks: -0x4000_0000,
	stacksEnd: -0x10_0000,
} as const;

/**
 * The gates that the engine's own assembly calls: they have the first places of the gate page, in any order of binding.
 */
export const ENGINE_GATES: readonly string[] = [
	"next_call",
	"exit_to_user_mode",
	"kthread_wait",
	"do_idle",
	"return_to_host",
	"trace_test_and_set_recursion",
	"trace_clear_recursion",
	"ftrace_next_ops",
	"ftrace_return_to_handler",
	"arch_rethook_trampoline_callback",
];

/** Gates whose addresses the kernel's own structs hold: known before the functions behind them are made. */
export const KERNEL_GATES: readonly string[] = [
	"ftrace_host_func",
	"call_direct_funcs",
	"klp_ftrace_handler",
	"ftrace_graph_func",
	"kprobe_ftrace_handler",
];
