/** The kernel's own livepatch code and its transcription have the same verdict on the same scenario, in every schedule. */
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { INVARIANTS } from "../../../src/consistency/index.js";
import type { KernelCore } from "../../../src/linux/klp-c/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { exploreScenario, parseScenario } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";
import { part } from "../../support/sample.js";

const FLAGSHIP = "scenarios/hybrid-lp1-lp2-lp3.yaml";
const FAMILY = "scenarios/family";
/** Explored to the end under --core. With KLPEMU_SECONDS=N all others are tried, too, each for N seconds of processor time. */
const COMPARED = [
	...["alias-reverse", "bottom-reverse", "busy-cpus", "cold-part", "direct-call-comes", "disable-reverse", "exit-path"],
	...["flush-locked", "fork-exit", "four-patches", "graph-callee", "graph-patched", "hammered", "idle-cpus"],
	"module-comes",
	...["one-address", "other-order", "preempted", "quick-succession", "replace-all", "sleepers", "survivor-above"],
	...["survivor-below", "sysfs-writer", "sysfs-writer-up", "traced-patched"],
	...["two-names", "two-names-reverse", "two-names-sleeper"],
];
/** The same, of scenarios/hunting: up to two minutes. */
const HUNTED = ["shadow-stacked", "shadow-reversed"];
const SECONDS = Number(process.env.KLPEMU_SECONDS ?? 0);
/** The invariant that the first schedule breaks; else `complete` or `bounded`. */
async function verdict(file: string, core?: KernelCore): Promise<string> {
	const scenario = parseScenario(await readFile(file, "utf8"), file);
	const end = process.cpuUsage().user + 1e6 * SECONDS;
	const interrupted = () => SECONDS > 0 && process.cpuUsage().user > end;
	const limits = { budget: 4_000_000, invariants: new Set(INVARIANTS), all: false, reduction: true, interrupted };
	const machine = core === undefined ? { design: "mainline" } : { core };
	const { exploration } = await exploreScenario({ scenario, machine: { host: nodeHost(file), ...machine }, ...limits });
	return exploration.violations[0]?.broken.invariant ?? exploration.result;
}

const family = SECONDS === 0 ? COMPARED.map((name) => `${name}.yaml`) : readdirSync(FAMILY);
const files = [
	FLAGSHIP,
	...family.filter((name) => name.endsWith(".yaml")).map((name) => `${FAMILY}/${name}`),
	...HUNTED.map((name) => `scenarios/hunting/${name}.yaml`),
];

test.for(part(files, 8))("%s", { timeout: 3_600_000 }, async (file, { skip }) => {
	const core = await kernelCore(skip);
	const inC = await verdict(file, core);
	if (inC === "bounded") skip(`${SECONDS} seconds were not enough`);
	const mainline = await verdict(file);
	expect(inC).toBe(mainline);
});

const FORKED = `title: A task is forked while its parent is in a patched function, and ends while the kernel goes through all tasks
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
tasks:
  worker: { calls: [funcA] }
steps:
  - insmod: lp1
  - fork: { parent: worker, child: c1, calls: [funcA] }
  - exit: c1
  - settle
`;

test("steps that fork and end a task do not depend on where the parent is, and wait for tasklist_lock", {
	timeout: 600_000,
}, async ({ skip }) => {
	const core = await kernelCore(skip);
	const scenario = parseScenario(FORKED, "forked.yaml");
	const limits = { budget: 100_000, invariants: new Set(INVARIANTS), all: true, reduction: true };
	const { exploration } = await exploreScenario({
		scenario,
		machine: { host: nodeHost("forked.yaml"), core },
		...limits,
	});
	expect(exploration.result).toBe("complete");
	expect(exploration.violations).toEqual([]);
});
