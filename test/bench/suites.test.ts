/** The suites measure what they say: every case is the case, and counts are the same on every Cpu. */
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { chooseCore, coreFile, KERNEL, kernelCore, type Part } from "../../bench/common/index.js";
import reference from "../../bench/reference.json" with { type: "json" };
import { CALL_CASES, jobs, runJob, SUITES } from "../../bench/suites/index.js";
import { designs } from "../../src/designs/index.js";
import { CPU_NAMES } from "../../src/node/index.js";
import { longTest } from "../support/sample.js";
import { NO_KERNEL_CORE, skipBecause } from "../support/skip.js";

const run = (suite: (typeof SUITES)[number], design: string, cpu: string): Promise<Part> =>
	runJob({ suite, design, cpu, smoke: true });

const counts = ({ rows }: Part) => rows.filter(({ exact }) => exact).map(({ suite, id, value }) => [suite, id, value]);

test("under mainline every case of a call is there, with the same instructions on every Cpu", async () => {
	const [jit, unicorn] = [await run("handler", "mainline", "jit"), await run("handler", "mainline", "unicorn")];
	expect(jit.absent).toEqual([]);
	expect(counts(unicorn)).toEqual(counts(jit));
	const ids = jit.rows.filter(({ unit, suite }) => unit === "insns/call" && suite === "handler").map(({ id }) => id);
	expect(ids).toEqual(CALL_CASES.map(({ id }) => id));
	// The parts of a call are the whole: the call's own count, and the three instructions of the loop.
	const sum = jit.rows
		.filter(({ suite, exact }) => suite === "split" && exact)
		.reduce((total, { value }) => total + value, 0);
	const depth1 = jit.rows.find(({ id, unit }) => id === "depth1" && unit === "insns/call")!.value;
	expect(sum).toBe(depth1 + 3);
});

longTest(
	"with the kernel's own livepatch code a call has the instructions that a real 6.12 counts",
	async (context) => {
		if ((await kernelCore()) === undefined) skipBecause(context.skip, NO_KERNEL_CORE);
		const [jit, unicorn] = [await run("handler", KERNEL, "jit"), await run("handler", KERNEL, "unicorn")];
		expect(jit.absent).toEqual([]);
		expect(counts(unicorn)).toEqual(counts(jit));
		const count = (id: string) => jit.rows.find((row) => row.id === id && row.unit === "insns/call")!.value;
		const real = reference.entries.filter(({ kind }) => kind === "instructions");
		expect(real.length).toBeGreaterThan(5);
		const here = real.map(({ row, relativeTo }) => [row, count(row) - count(relativeTo.row)]);
		expect(here).toEqual(real.map(({ row, value, relativeTo }) => [row, value - relativeTo.value]));
	},
);

test("the kernel's own handler and trampoline redirect on the hardware itself", async (context) => {
	if ((await kernelCore()) === undefined) skipBecause(context.skip, NO_KERNEL_CORE);
	const { rows } = await run("handler", KERNEL, "hardware");
	// Each round throws unless the functions that were called are those that livepatch says.
	const ids = [
		"loop",
		"nop_site",
		"depth1",
		"patching/patched",
		"patching/previous",
		"patching/original",
		"replace/patched",
	];
	expect(rows.map(({ id }) => id)).toEqual(ids);
});

test("a design that does not let patches pile up says so instead of measuring something else", async () => {
	const { absent } = await run("handler", "replace-set-v2", "jit");
	expect(absent.find(({ id }) => id === "depth2")!.reason).toBe("func_stack has 1 of 2 entries: insmod gives -EINVAL");
	const replaced = (await run("handler", "conflict-replace", "jit")).absent.find(
		({ id }) => id === "unpatching/previous",
	);
	expect(replaced!.reason).toBe("the task runs the original, not lp_first");
});

longTest("the steps of a transition are counted, and grow with the tasks", async () => {
	const { rows } = await run("transitions", "universe", "jit");
	const points = (id: string) => rows.find((row) => row.id === id && row.unit === "points")!.value;
	for (const place of ["outside", "asleep", "busy"]) {
		const [few, many] = [points(`tasks/${place}/10`), points(`tasks/${place}/100`)];
		// Two steps a task: its flag, and its switch.
		expect(Math.abs(many - few - 2 * 90)).toBeLessThan(10);
	}
});

test("every design of the registry has a job, on jit; unicorn and the hardware are there for scale", () => {
	const all = jobs({ suites: SUITES, designs: designs.map(({ name }) => name), cpus: CPU_NAMES, smoke: false });
	const of = (cpu: string) =>
		all.filter((job) => job.suite === "handler" && job.cpu === cpu).map(({ design }) => design);
	expect(of("jit")).toEqual(designs.map(({ name }) => name));
	expect([of("unicorn"), of("hardware")]).toEqual([["mainline"], ["-"]]);
	expect(jobs({ suites: ["machine"], designs: ["universe"], cpus: ["jit"], smoke: true })).toEqual([
		{ suite: "machine", design: "mainline", cpu: "jit", smoke: true },
	]);
});

test("--core: another file than that of npm run build:kernel-core", async () => {
	const before = coreFile();
	expect(before).toMatch(/\.cache\/linux-6\.12\.klpcore$/);
	chooseCore("nowhere.klpcore");
	expect(coreFile()).toBe(resolve("nowhere.klpcore"));
	expect(await kernelCore()).toBe(undefined);
	chooseCore(before);
});
