import type { CommandEntry } from "./command.js";

/** All commands, in the order of --help. */
export const commands: readonly CommandEntry[] = [
	{
		name: "run",
		summary: "run a scenario and say whether the consistency model held",
		load: async () => (await import("./run.js")).runCommand,
	},
	{
		name: "selftest",
		summary: "run the kernel's own livepatch selftests, with its own modules",
		load: async () => (await import("./selftest.js")).selftestCommand,
	},
	{
		name: "explore",
		summary: "try every schedule of a scenario, and show the shortest that breaks something",
		load: async () => (await import("./explore.js")).exploreCommand,
	},
	{
		name: "replay",
		summary: "make the moves of a saved schedule, and say what they break",
		load: async () => (await import("./replay.js")).replayCommand,
	},
	{
		name: "gdb",
		summary: "serve a run of a scenario to gdb, forwards and backwards",
		load: async () => (await import("./gdb.js")).gdbCommand,
	},
	{
		name: "merge",
		summary: "join the --json reports of klpemu explore --shard",
		load: async () => (await import("./merge.js")).mergeCommand,
	},
	{
		name: "campaign",
		summary: "explore many scenarios under many designs and kernels, on one machine or many",
		load: async () => (await import("./campaign.js")).campaignCommand,
	},
	{
		name: "worker",
		summary: "make searches for klpemu campaign",
		load: async () => (await import("./worker.js")).workerCommand,
	},
	{
		name: "exec",
		summary: "run machine code: JSON lines in, JSON lines out",
		load: async () => (await import("./exec.js")).execCommand,
	},
	{
		name: "disasm",
		summary: "show the code of an object, with its fentry sites and relocations",
		load: async () => (await import("./disasm.js")).disasmCommand,
	},
	{
		name: "kernel build",
		summary: "compile the kernel's own livepatch code to a file for the emulated machine",
		load: async () => (await import("./kernel.js")).kernelBuildCommand,
	},
	{
		name: "kernel show",
		summary: "show what such a file was made of, what it needs, and the layout in it",
		load: async () => (await import("./kernel.js")).kernelShowCommand,
	},
	{
		name: "check",
		summary: "say what a kernel will make of a livepatch module, before it is loaded",
		load: async () => (await import("./check.js")).checkCommand,
	},
	{
		name: "serve",
		summary: "show transitions in the browser: the page, from this machine",
		load: async () => (await import("./serve.js")).serveCommand,
	},
	{
		name: "kit",
		summary: "write what runs a scenario on a real kernel: modules, a harness, run.sh",
		load: async () => (await import("./kit.js")).kitCommand,
	},
	{
		name: "vm",
		summary: "run kits in QEMU, on a real kernel, and keep what it says",
		load: async () => (await import("./vm.js")).vmCommand,
	},
	{
		name: "compare",
		summary: "compare a scenario with what a real kernel said in the same steps",
		load: async () => (await import("./compare.js")).compareCommand,
	},
	{
		name: "designs",
		summary: "list the replace designs that --design knows",
		load: async () => (await import("./designs.js")).designsCommand,
	},
	{
		name: "doctor",
		summary: "say what is installed on this machine, and what each would add",
		load: async () => (await import("./doctor.js")).doctorCommand,
	},
	{
		name: "completion",
		summary: "print the completion of this command line for a shell",
		load: async () => (await import("./completion.js")).makeCompletionCommand(commands),
	},
];
