import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { machine, type Session } from "../../src/node/index.js";
import { expectScenario } from "../../src/node/vitest.js";

const PRICE = "long price(long x) { return x * 10; }";
const CHEAPER = { c: "long lp_price(long x) { return x * 9; }", funcs: { price: "lp_price" } };

describe("matchers for a machine", () => {
	let m: Session;
	beforeEach(async () => {
		m = await machine({ c: PRICE, tasks: { sleeper: { calls: ["price"], sleeps_in: "price" } } });
		m.step({ run: { task: "sleeper" } });
		await m.livepatch(CHEAPER);
		m.run(50);
	});
	afterEach(() => m.close());

	it("toSee compares what a task runs", () => {
		expect(m).toSee({ price: "lp_price" });
		expect(m).toSee({ task: "sleeper", price: "original" });
		expect(m).not.toSee({ task: "sleeper", price: "lp_price" });
		expect(() => expect(m).toSee({ task: "sleeper", price: "lp_price" })).toThrow(/task sleeper sees .*original/);
		expect(() => expect(m).toSee({ pric: "original" })).toThrow(/no livepatch changes pric; task caller sees/);
		expect(() => expect(m).not.toSee({ pric: "original" })).toThrow(/no livepatch changes pric/);
		expect(() => expect(3).toSee({ price: "original" })).toThrow(/takes a machine/);
	});

	it("toSettle waits for the end of the transition, and says who holds it up", () => {
		expect(() => expect(m).toSettle(100)).toThrow(/sleeper/);
		m.step({ wake: "sleeper" });
		expect(m).toSettle();
	});

	it("toReturn calls a function; for a mock it is what it was", () => {
		expect(m).toReturn({ func: "price", args: [10], value: 90 });
		expect(m).not.toReturn({ func: "price", args: [10], value: 100 });
		expect(() => expect(m).toReturn({ func: "price", args: [10], value: 91n })).toThrow(/price\(10\).* returns 90/);
		const mock = vi.fn(() => 1);
		expect(mock).not.toReturn();
		mock();
		expect(mock).toReturn();
	});

	it("a timeline is a snapshot that stands in the test, the same every time", async () => {
		expect(m.timeline(60)).toMatchInlineSnapshot(`
			"a machine without a scenario file
			design mainline · cpu jit · seed 1 · preemption none

			  step     1
			  caller   ·PP
			  sleeper  ·uu
			  · IDLE  u UNPATCHED  P PATCHED  ✗ breaks an invariant

			   1  run sleeper until asleep  · changes nothing

			   2  insmod lp1
			      lp1  enabled 1, transition 1, replace 0, stack_order
			           1, vmlinux/patched 1
			      price  func_stack [lp_price]
			      task     patch_state     price
			      caller   IDLE→PATCHED    original→lp_price
			        └ switched
			      sleeper  IDLE→UNPATCHED  original
			        └ cannot switch yet: price is on its stack

			   3  run 50 rounds  · changes nothing

			At the end
			      task     patch_state  price
			      caller   PATCHED      lp_price
			      sleeper  UNPATCHED    original
			        └ is inside price
			      modules: lp1 refcount 1

			 CONSISTENT  as the scenario expects
			  Whatever changed for a task changed when that very task switched."
		`);
		const again = await machine({ c: PRICE, tasks: { sleeper: { calls: ["price"], sleeps_in: "price" } } });
		again.step({ run: { task: "sleeper" } });
		await again.livepatch(CHEAPER);
		again.run(50);
		expect(again.timeline(60)).toBe(m.timeline(60));
		// What happens next is in it: the snapshot would fail.
		m.step({ wake: "sleeper" });
		expect(m.timeline(60)).not.toBe(again.timeline(60));
		again.close();
	});

	it("toBeConsistent fails with the timeline once an invariant is broken", () => {
		expect(m).toBeConsistent();
		m.step("force");
		m.run(5);
		expect(m).not.toBeConsistent();
		expect(() => expect(m).toBeConsistent()).toThrow(/switched-on-stack/);
	});
});

describe("expectScenario()", () => {
	const HYBRID = "scenarios/hybrid-lp1-lp2-lp3.yaml";
	let folder: string;
	beforeEach(async () => {
		folder = await mkdtemp(join(tmpdir(), "klpemu-"));
	});
	afterEach(() => rm(folder, { recursive: true }));

	it("runs one schedule, under any design", async () => {
		await expectScenario(HYBRID, { design: "universe" }).toBeConsistent();
		await expectScenario(HYBRID).toEndAsExpected();
		await expectScenario(HYBRID).toBeViolated("mixed-universe");
		await expect(expectScenario(HYBRID).toBeConsistent()).rejects.toThrow(/violated: mixed-universe, sudden-change/);
		await expect(expectScenario(HYBRID).toBeViolated("warn")).rejects.toThrow(/warn is not broken/);
		await expect(expectScenario("scenarios/no.yaml").toBeConsistent()).rejects.toThrow(/no file/);
	});

	it("explores every schedule, saves the failing one, and makes it first next time", async () => {
		const options = { everySchedule: true, schedules: folder, design: "rfc-2025" };
		await expect(expectScenario("scenarios/family/one-address.yaml", options).toBeConsistent()).rejects.toThrow(
			/violated: mixed-universe/,
		);
		const [saved] = await readdir(folder);
		expect(saved).toBe("one-address.rfc-2025.mixed-universe.schedule");
		// With a budget of one state only the saved schedule can find anything.
		const again = expectScenario("scenarios/family/one-address.yaml", { ...options, budget: 1 });
		await expect(again.toBeConsistent()).rejects.toThrow(/mixed-universe.*saved in/s);
		await again.toBeViolated("mixed-universe");
	});

	it("does not take a search for complete that was bounded; a schedule that breaks nothing goes", async () => {
		const options = { everySchedule: true, schedules: folder, design: "mainline", budget: 100 };
		await writeFile(join(folder, "hybrid-lp1-lp2-lp3.mainline.warn.schedule"), "damaged");
		await expect(expectScenario(HYBRID, options).toBeConsistent()).rejects.toThrow(
			/not all schedules were seen: 1\d\d/,
		);
		expect(await readdir(folder)).toEqual([]);
	});
});
