import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describeStep, type Scenario } from "../../scenario/index.js";
import { PROJECT } from "../project.js";
import { type KitModule, type KitPlan, planKit, TARGET } from "./plan.js";
import { type KitNote, type KitScript, scriptOf } from "./script.js";
import { addSources, type KitFiles, mainOf, patchOf, selfEnabling } from "./sources.js";

/** The harness, which is the same for every kit. */
const HARNESS = ["klpkit.c", "ops.c", "harness.h", "traced.h", "klpkit.h", "probe.S", "klp_task.c"];

/** A kit: its files, and what of the scenario a kernel cannot do. */
export interface Kit {
	readonly name: string;
	readonly design: string;
	readonly files: KitFiles;
	readonly notes: readonly KitNote[];
}

/** The name of a scenario's kit: that of its file. */
export function kitName(scenario: Scenario): string {
	return basename(scenario.fileName).replace(/\.ya?ml$/, "");
}

/** Makes what runs a scenario on a real kernel. Throws `KIT_UNSUPPORTED`, and the errors of a scenario. */
export async function makeKit(scenario: Scenario, design: string): Promise<Kit> {
	const plan = await planKit(scenario, design);
	const name = kitName(scenario);
	const files: KitFiles = new Map();
	const asm = (file: string) => readFile(join(PROJECT, "asm", "kit", file), "utf8");
	for (const file of HARNESS) files.set(`harness/${file}`, await asm(file));
	files.set("kit.sh", await asm("kit.sh"));
	const ordinary = [plan.target, ...plan.modules];
	for (const module of ordinary) {
		await addSources(files, folderOf(module), module);
		files.set(`${folderOf(module)}/${ownSource(module, "main")}.c`, mainOf(module));
	}
	for (const module of plan.livepatches) {
		await addSources(files, folderOf(module), module);
		if (module.patch !== undefined) {
			files.set(`${folderOf(module)}/${ownSource(module, "patch")}.c`, patchOf(module, plan));
		}
	}
	if (plan.livepatches.some(({ patch }) => patch === undefined)) files.set("livepatch-in-c.h", selfEnabling(plan));
	files.set("Makefile", makefile(plan));
	const script = scriptOf(plan, name);
	files.set("run.sh", script.text);
	files.set("README.md", readme(plan, script));
	return { name, design, files, notes: script.notes };
}

/** Folders of the kit's own. */
const OWN_FOLDERS = ["harness", "target"];

function folderOf({ name }: KitModule): string {
	if (name === TARGET) return "target";
	return OWN_FOLDERS.includes(name) ? `${name}-module` : name;
}

/** The name of the file that the kit adds to a module, unless the scenario has one of this name. */
function ownSource({ sources }: KitModule, name: "main" | "patch"): string {
	return sources.some(({ path }) => basename(path) === `${name}.c`) ? `kit-${name}` : name;
}

/** The objects of a module, below its folder. */
function objectsOf(module: KitModule): string[] {
	const sources = module.sources.map(({ path }) => basename(path).replace(/\.c$/, ".o"));
	// patch.c includes a single source, main.c none.
	const patch = `${ownSource(module, "patch")}.o`;
	const own = !module.livepatch
		? [`${ownSource(module, "main")}.o`, ...sources]
		: module.patch === undefined
			? sources
			: module.sources.length === 1
				? [patch]
				: [patch, ...sources];
	return own.map((object) => `${folderOf(module)}/${object}`);
}

function makefile(plan: KitPlan): string {
	const modules = [plan.target, ...plan.modules, ...plan.livepatches];
	const mains = [plan.target, ...plan.modules].map((module) => `${folderOf(module)}/${ownSource(module, "main")}.o`);
	const traced = modules.flatMap((module) => objectsOf(module)).filter((object) => !mains.includes(object));
	const selfEnabled = plan.livepatches.filter(({ patch }) => patch === undefined).flatMap(objectsOf);
	return `# SPDX-License-Identifier: GPL-2.0-only
# Written by klpemu kit. make: all modules and the task program, for the running kernel; KDIR=... for another one.
ifneq ($(KERNELRELEASE),)

obj-m := klpkit.o ${modules.map(({ name }) => `${name}.o`).join(" ")}
klpkit-y := harness/klpkit.o harness/ops.o harness/probe.o
${modules.map((module) => `${module.name}-y := ${objectsOf(module).join(" ")}`).join("\n")}

# The compiler calls klpkit_block() of klpkit.ko in every block: there a task can sleep, and be asked which function it runs.
# Functions keep their names and their bodies: no clones, no merging of equal ones.
TRACED := -fsanitize-coverage=trace-pc -include $(src)/harness/traced.h
TRACED += -fno-ipa-cp -fno-ipa-sra -fno-ipa-icf -fno-partial-inlining
# The sources are the scenario's: functions without a prototype, variables that nobody reads.
TRACED += -Wno-missing-prototypes -Wno-missing-declarations -Wno-unused
${traced.map((object) => `CFLAGS_${object} := $(TRACED)${selfEnabled.includes(object) ? " -include $(src)/livepatch-in-c.h" : ""}`).join("\n")}

else

KDIR ?= /lib/modules/$(shell uname -r)/build

all: modules klp_task

modules:
	+$(MAKE) -C $(KDIR) M=$(CURDIR) modules

# Static where the C library can be linked so: an initramfs has no other libraries.
klp_task: harness/klp_task.c harness/klpkit.h
	$(CC) -O2 -Wall -static -o $@ $< || $(CC) -O2 -Wall -o $@ $<

clean:
	+$(MAKE) -C $(KDIR) M=$(CURDIR) clean
	rm -f klp_task transcript.txt

.PHONY: all modules clean
endif
`;
}

function readme({ scenario, design }: KitPlan, { notes }: KitScript): string {
	const cannot = notes.map(({ step, text }) => {
		if (step === undefined) return `* ${text}`;
		return `* step ${step} (${describeStep(scenario.steps[step - 1]!)}): ${text}`;
	});
	const source = scenario.source === undefined ? "" : ` Its source: ${scenario.source}`;
	return `# ${scenario.title}

A scenario of klpemu (${basename(scenario.fileName)}) for a real kernel${design === "mainline" ? "" : `, which must have design ${design}`}. Written by \`klpemu kit\`.${source}

    make                     # for the running kernel; KDIR=/path/to/build for another one
    sudo ./run.sh            # writes transcript.txt
    klpemu compare ${basename(scenario.fileName)} transcript.txt

Needs: the kernel's headers, gcc, CONFIG_LIVEPATCH, CONFIG_KPROBES, no CONFIG_KCOV. It loads modules that sleep and patch: use a machine that you can
lose. \`klpemu vm .\` does all of it in QEMU.

* \`target/\`: the functions of the scenario's vmlinux, as module ${TARGET}: a running kernel takes no further functions. One folder for each
  livepatch and module, with the scenario's own sources, and the struct klp_patch where the scenario describes it (\`patch.c\`).
* \`harness/\`: klpkit.ko makes the tasks and looks at them, and registers its ftrace_ops; \`klp_task\` is a task in user space. A task sleeps
  inside a function without a change of the source: gcc's \`-fsanitize-coverage=trace-pc\` calls a function of klpkit.ko in every block, which waits there. The same call
  tells which implementation a task runs, without running it.
* \`run.sh\`: the steps, with \`kit.sh\`. After each it records sysfs, reference counts, enabled_functions and of each task: patch_state,
  TIF_PATCH_PENDING, the function in which it sleeps, and which implementation it runs for each patched function.

## What a kernel cannot do

${cannot.length === 0 ? "Every step is made as the scenario says." : cannot.join("\n")}

What the scenario expects (\`expect\`, \`errno\`, \`value\`, \`rights\`, verdicts) is not checked here: run.sh records, \`klpemu compare\` looks.
Choosing who is on a CPU at an instruction is not possible: schedules of \`klpemu explore\` need \`klpemu replay\`.
`;
}
