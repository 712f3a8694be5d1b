/** Looks: look after look at a machine, of which only what has changed is made anew. */
import { expect, test, vi } from "vitest";
import { type FromTo, fromTo, lookAt, type WatchedFunction } from "../../src/consistency/index.js";
import { Looks } from "../../src/consistency/looks.js";
import { designs } from "../../src/designs/index.js";
import { compileModule, createTestMachine, makePatch, type TestMachine } from "../support/machine.js";

function watch(machine: TestMachine, module: string | undefined, ...names: string[]): WatchedFunction[] {
	const live = () => module === undefined || machine.it.modules.get(module)?.live === true;
	return names.map((name) => ({
		name,
		resolve: () => (live() ? machine.it.kallsyms.lookup(module, name)[0] : undefined),
	}));
}

/** At each point, the look of Looks beside that of lookAt(). The number of points. */
function compareAtEachPoint(machine: TestMachine, watched: WatchedFunction[]): () => number {
	const looks = new Looks(machine.it, watched);
	let transition: FromTo | undefined;
	let points = 0;
	machine.it.observe({
		transition: (what) => {
			if (what === "init") transition = fromTo(machine.it, watched);
		},
		point: (label) => {
			points++;
			expect(looks.now(transition), label).toEqual(lookAt(machine.it, watched, transition));
		},
	});
	return () => points;
}

test.each(designs.map(({ name }) => name))("%s: each look is what lookAt() gives", async (design) => {
	const machine = await createTestMachine({ design, kernel: true });
	const target = await compileModule("target", "__attribute__((noinline)) long there(long x) { return x + 1; }");
	const watched = [...watch(machine, undefined, "funcA"), ...watch(machine, "target", "there")];
	const points = compareAtEachPoint(machine, watched);
	machine.task("t", "funcA", "funcB");
	machine.patch("lp1", ["funcA", "lp1_funcA"]);
	machine.settle();
	machine.insmod("lp2", {
		replace: true,
		objects: { vmlinux: [{ old: "funcB", by: "lp2_funcB" }], target: [{ old: "there", by: "lp2_funcA" }] },
	});
	// A function that is watched from now on, as those of a patch in C are.
	watched.push(...watch(machine, undefined, "funcB"));
	machine.insmodC("target", target);
	machine.rounds(3);
	machine.echo("0", "lp2/enabled");
	machine.rounds(1);
	machine.settle();
	machine.it.shell.rmmod("target");
	machine.it.shell.rmmod("lp2");
	expect(points()).toBeGreaterThan(50);
	machine.close();
});

/** How often the checker's looks ask what a task would run while a patch of `count` functions is enabled and disabled. */
async function work(count: number): Promise<number> {
	const machine = await createTestMachine({ kernel: true });
	const index = Array.from({ length: count }, (_, i) => i);
	const body = (name: string) => `__attribute__((noinline)) long ${name}(long x) { return x + 1; }`;
	const text = (prefix: string) => index.map((i) => body(`${prefix}${i}`)).join("\n");
	machine.insmodC("many", await compileModule("many", text("old")));
	const looks = new Looks(machine.it, watch(machine, "many", ...index.map((i) => `old${i}`)));
	looks.now(undefined);
	machine.it.observe({ point: () => void looks.now(undefined) });
	const asked = vi.spyOn(machine.it.klp, "wouldRun");
	const funcs = index.map((i) => ({ old: `old${i}`, by: `new${i}` }));
	const spec = { objects: { many: funcs } };
	const patchOf = (mod: Parameters<typeof makePatch>[1]) => makePatch(spec, mod);
	expect(machine.it.shell.insmod("lp", [await compileModule("lp", text("new"))], { patchOf })).toBe(0);
	machine.settle();
	expect(machine.echo("0", "lp/enabled")).toBe(0);
	machine.settle();
	const { length } = asked.mock.calls;
	machine.close();
	return length;
}

test("a patch of five times as many functions takes five times the looks, not twenty-five times", async () => {
	const [few, many] = [await work(10), await work(50)];
	expect(few).toBeGreaterThan(0);
	expect(many / few).toBeLessThanOrEqual(5.5);
});
