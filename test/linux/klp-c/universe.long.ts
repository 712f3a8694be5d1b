/** The design `universe` as a change of the kernel's C: what docs/universe-in-c.md says of it. */
import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, type TestContext, test } from "vitest";
import { chooseCore, coreFile, KERNEL } from "../../../bench/common/index.js";
import { runJob } from "../../../bench/suites/index.js";
import { INVARIANTS } from "../../../src/consistency/index.js";
import type { KernelCore } from "../../../src/linux/klp-c/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { exploreScenario, parseScenario, runScenario } from "../../../src/scenario/index.js";
import { proposals } from "../../../tools/kernel-proposals.js";
import { cliOf } from "../../support/cli.js";
import { kernelCore } from "../../support/kernel-core.js";
import { PatchedCores } from "../../support/patched-core.js";
import { part } from "../../support/sample.js";
import { KERNEL_CORE, KERNEL_KO, NO_KERNEL_CORE, skipBecause } from "../../support/skip.js";

const FLAGSHIP = "scenarios/hybrid-lp1-lp2-lp3.yaml";
const cores = new PatchedCores();
let built: KernelCore | undefined;
beforeAll(() => cores.open());
afterAll(() => cores.close());

async function universe({ skip }: TestContext): Promise<KernelCore> {
	built ??= await cores.build("universe", proposals.universe!, skip);
	return built;
}

test("the scenario of the mail ends in lp1's funcA and lp3's funcB, and no task flips", async (context) => {
	const core = await universe(context);
	const scenario = parseScenario(await readFile(FLAGSHIP, "utf8"), FLAGSHIP);
	const host = nodeHost(FLAGSHIP);
	const inC = await runScenario(scenario, { host, core });
	expect([inC.verdict, inC.failures, inC.violations]).toEqual(["consistent", [], []]);
	const views = inC.steps.map(({ tasks }) => tasks["worker/0"]?.view);
	expect(views.at(-1)).toEqual({ funcA: "lp1_funcA", funcB: "lp3_funcB" });
	// What tasks run is what they run under the design, step by step: also while lp3's transition runs.
	const inTypeScript = await runScenario(scenario, { host, design: "universe" });
	expect(views).toEqual(inTypeScript.steps.map(({ tasks }) => tasks["worker/0"]?.view));
	expect(inC.steps.at(-1)!.sysfs).toMatchObject({ "lp1/replaceable": 0, "lp3/replaceable": 1 });
});

test("the kernel's own selftests pass, with the kernel's own modules", async (context) => {
	await universe(context);
	const { stdout } = await cliOf(["selftest", "--core", cores.file("universe")]);
	expect(stdout).toContain("# Totals: pass:25 fail:0");
	if (!existsSync(KERNEL_KO)) skipBecause(context.skip, NO_KERNEL_CORE);
	const kernels = await cliOf(["selftest", "--core", cores.file("universe"), "--modules", KERNEL_KO]);
	expect(kernels.stdout).toContain("# Totals: pass:25 fail:0");
});

test("no struct grows, and no field moves that modules give a value", async (context) => {
	const core = await universe(context);
	const { layout: mainline } = await kernelCore(context.skip);
	const moved = [...mainline.entries].filter(
		([name, value]) => core.layout.has(name) && core.layout.entries.get(name) !== value,
	);
	expect(moved).toEqual([]);
	const gone = [...mainline.entries.keys()].filter((name) => !core.layout.has(name));
	expect(gone).toEqual(["klp_func.nop"]);
	expect(core.layout.offset("klp_func.leaving")).toBe(mainline.offset("klp_func.nop"));
});

test("a call takes fewer instructions than with mainline's handler, except where there are more entries to pass", async (context) => {
	await universe(context);
	if (!existsSync(KERNEL_CORE)) skipBecause(context.skip, NO_KERNEL_CORE);
	const before = coreFile();
	const count = async (file: string) => {
		chooseCore(file);
		const { rows } = await runJob({ suite: "handler", design: KERNEL, cpu: "jit", smoke: true });
		return (id: string) => rows.find((row) => row.id === id && row.unit === "insns/call")!.value;
	};
	const mainline = await count(KERNEL_CORE);
	const here = await count(cores.file("universe"));
	chooseCore(before);
	const more = ["depth1", "depth16", "patching/patched", "patching/previous", "patching/original", "replace/patched"];
	expect(more.map((id) => [id, here(id) - mainline(id)])).toEqual([
		["depth1", -3],
		["depth16", -3],
		["patching/patched", 0],
		["patching/previous", 2],
		["patching/original", 2],
		["replace/patched", 5],
	]);
});

/** lp1 stays; lp2, which may go, is replaced by lp3: the scenario of the mail in its smallest form. */
const SMALL = `title: t
cpus: 2
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], replaceable: false, funcs: { funcA: lp1_funcA } }
  lp2: { sources: [asm/livepatches/lp2.c], funcs: { funcA: lp2_funcA } }
  lp3: { sources: [asm/livepatches/lp3.c], replace: true, funcs: { funcB: lp3_funcB } }
tasks: { worker: { calls: [funcA] } }
steps: [insmod: lp1, settle, insmod: lp2, settle, insmod: lp3, settle]
`;

type Explored = { readonly core: KernelCore } | { readonly design: string };

/** Explores a scenario up to its first violation: the result, and what is broken. */
async function explore(machine: Explored, file: string, text?: string): Promise<[string, string | undefined]> {
	const scenario = parseScenario(text ?? (await readFile(file, "utf8")), file);
	const limits = { budget: 400_000, invariants: new Set(INVARIANTS), all: false, reduction: true };
	const { exploration } = await exploreScenario({ scenario, machine: { host: nodeHost(file), ...machine }, ...limits });
	return [exploration.result, exploration.violations[0]?.broken.invariant];
}

test("every schedule of it keeps the consistency model, with the RFC some break it", async (context) => {
	const file = "scenarios/test.yaml";
	expect(await explore({ core: await universe(context) }, file, SMALL)).toEqual(["complete", undefined]);
	const rfc = await cores.build("rfc-2025", proposals["rfc-2025"]!, context.skip);
	const replaceable = SMALL.replace("lp2.c], ", "lp2.c], replaceable: true, ");
	const [result, broken] = await explore({ core: rfc }, file, replaceable);
	expect(result).toBe("violated");
	expect(["mixed-universe", "sudden-change"]).toContain(broken);
});

const FAMILY = "scenarios/family";
const family = readdirSync(FAMILY).filter((name) => name.endsWith(".yaml"));

test.for(part([FLAGSHIP, ...family.map((name) => `${FAMILY}/${name}`)], 8))(
	"%s: every schedule has the verdict of the design in TypeScript",
	{ timeout: 3_600_000 },
	async (file, context) => {
		const core = await universe(context);
		expect(await explore({ core }, file)).toEqual(await explore({ design: "universe" }, file));
	},
);
