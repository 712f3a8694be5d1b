/** What a function is: all of its pieces, and the address behind its last call. The kernel's own check looks at one range. */
import { expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import { createScenarioMachine, parseScenario, runScenario } from "../../src/scenario/index.js";
import { exploreModel, modelOf } from "../explore/support.js";

const FILE = "scenarios/pieces.yaml";
const COLD = `
cpus: 2
vmlinux: [asm/vmlinux/funcs.c, test/consistency/pieces/cold.c]
livepatches: { lp: { sources: [test/consistency/pieces/new_split.c], funcs: { split: new_split } } }
tasks: { sleeper: { calls: [call_split], sleeps_in: complain } }
steps: [{ run: { task: sleeper } }, { insmod: lp }, settle]
`;
const LEAVE = `
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c, test/consistency/pieces/leave.S]
livepatches: { lp: { sources: [test/consistency/pieces/new_leave.c], funcs: { leave: new_leave } } }
tasks: { leaver: { calls: [leave] } }
steps: [{ run: 30 }, { insmod: lp }, { run: 100 }]
`;

const scenario = (yaml: string) => parseScenario(`title: pieces\n${yaml}`, FILE);
const run = (yaml: string) => runScenario(scenario(yaml), { host: nodeHost(FILE) });

test("asleep below the cold part of a function: it switches on its stack, in run and explore", async () => {
	const report = await run(COLD);
	expect(report.steps[0]!.tasks.sleeper!.in).toBe("split");
	expect(report.violations).toMatchObject([{ invariant: "switched-on-stack", task: "sleeper", func: "split" }]);
	const { violations } = await exploreModel(await modelOf(COLD));
	expect(violations[0]!.broken).toMatchObject({ invariant: "switched-on-stack", task: "sleeper", func: "split" });
});

test("behind a call that does not return, where the next function begins", async () => {
	const report = await run(LEAVE);
	expect(report.steps[0]!.tasks.leaver!.in).toBe("leave");
	expect(report.violations).toMatchObject([{ invariant: "switched-on-stack", task: "leaver", func: "leave" }]);
});

test("a kallsyms size reaches to the next symbol, padding included", async () => {
	const { machine } = await createScenarioMachine(scenario(COLD), { host: nodeHost(FILE) });
	const { kallsyms, vmlinux } = machine;
	for (const name of ["funcA", "split"]) {
		const symbol = vmlinux.symbol(name)!;
		const next = vmlinux.symbols.find(({ address }) => address > symbol.address)!;
		const found = kallsyms.kallsyms_lookup_size_offset(symbol.address + symbol.size - 1)!;
		expect(found).toEqual({ size: next.address - symbol.address, offset: symbol.size - 1 });
	}
	expect(vmlinux.symbols.some(({ address, size }) => size < kallsyms.kallsyms_lookup_size_offset(address)!.size)).toBe(
		true,
	);
	machine.close();
});

test("after a force, a task that sleeps in a removed implementation is in it", async () => {
	const report = await run(`
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  old: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
  new: { sources: [asm/livepatches/lp2.c], replace: true, funcs: { funcA: lp2_funcA } }
tasks: { sleeper: { calls: [funcA], sleeps_in: funcA } }
steps:
  [{ insmod: old }, settle, { run: { task: sleeper } }, { insmod: new }, force, settle, { wake: sleeper }, { run: 20 }]
`);
	const ins = report.steps.map(({ tasks }) => tasks.sleeper!.in);
	expect(report.steps[5]!.func_stacks).toEqual({ funcA: ["lp2_funcA"] });
	expect(ins.slice(2, 6)).toEqual(Array(4).fill("lp1_funcA"));
	expect(ins.at(-1)).not.toBe("lp1_funcA");
});

test("a livepatch that enables itself in C has no funcs in the scenario", async () => {
	const twice = `
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]
livepatches: { lp: { sources: [test/scenario/replaces.c], funcs: { funcB: new_funcB } } }
steps: [{ insmod: lp }]
`;
	await expect(run(twice)).rejects.toMatchObject({
		code: "SCENARIO_DUPLICATE",
		reason: expect.stringMatching(
			/^livepatch 'lp' says what it patches twice: here, and in .*replaces.*klp_enable_patch\(\)$/,
		),
		where: `${FILE}:4:59`,
	});
});
