/** The machine as a whole: compiled functions really run, and livepatches really change what they return. */
import { afterEach, describe, expect, test } from "vitest";
import { parseElf } from "../../src/elf/index.js";
import { CPU_NAMES } from "../../src/node/index.js";
import {
	createTestMachine,
	meaning,
	objectBytes,
	type TestMachine,
	type TestMachineOptions,
} from "../support/machine.js";

let machine: TestMachine;
afterEach(() => machine.close());

async function start(options: TestMachineOptions = {}): Promise<TestMachine> {
	machine = await createTestMachine(options);
	return machine;
}

/** Place in the file of the instruction bytes `code` within a function of an object. */
function placeOf(bytes: Uint8Array, name: string, code: readonly number[]): number {
	const object = parseElf(bytes, "object");
	const symbol = object.symbols.find((candidate) => candidate.name === name)!;
	const begin = object.sections[symbol.section]!.offset + symbol.value;
	const at = Buffer.from(bytes.subarray(begin, begin + symbol.size)).indexOf(Buffer.from(code));
	if (at < 0) throw new Error(`${name} has no such bytes`);
	return begin + at;
}

describe.each([
	["without endbr64", false],
	["with endbr64", true],
])("compiled functions, %s", (_title, ibt) => {
	test("funcA, funcB and what lies between them compute what their C says, for each task's argument", async () => {
		const { it } = await start({ ibt });
		const results: [string, number][] = [];
		it.observe({
			call: (task, func, result) => {
				results.push([`${it.symbolize(func)} ${task.pid}`, Number(result)]);
			},
		});
		for (let i = 0; i < 5; i++) machine.task(`t${i}`, "funcA");
		machine.until(() => results.length > 20);
		expect(new Set(results.map(([what]) => what)).size).toBe(5);
		for (const [what, result] of results) {
			const pid = Number(what.split(" ")[1]);
			expect([what, result]).toEqual([`funcA+0x0 ${pid}`, meaning.funcA(pid)]);
		}
	});

	test("funcB sees what funcA left in memory", async () => {
		await start({ ibt });
		const a = machine.task("a", "untraced");
		const b = machine.task("b", "untraced");
		expect(machine.call(b, "funcB")).toBe(meaning.funcB(b.pid, -1));
		machine.call(a, "funcA");
		expect(machine.call(b, "funcB")).toBe(meaning.funcB(b.pid, a.pid));
		expect(machine.call(a, "funcC")).toBe(meaning.funcA(a.pid) + meaning.funcB(a.pid + 1, a.pid));
	});

	test("[rule 8.5] call sites are where the compiler put them: behind endbr64, if there is one", async () => {
		await start({ ibt });
		expect(machine.site("funcA") - machine.addr("funcA")).toBe(ibt ? 4 : 0);
	});

	test("[rule 7.2] a redirected call returns the livepatch's result, and the original's after disable", async () => {
		await start({ ibt });
		const task = machine.task("t", "funcA");
		const { pid } = task;
		expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
		machine.settle();
		expect(machine.call(task, "funcA")).toBe(meaning.funcA(pid, 1100));
		expect(machine.echo("0", "lp1/enabled")).toBe(0);
		machine.settle();
		expect(machine.call(task, "funcA")).toBe(meaning.funcA(pid, 100));
	});
});

test("the result comes from the compiled code: one changed byte of funcA's lea changes it", async () => {
	const object = await objectBytes("vmlinux/funcs");
	// lea 0x64(%rax,%rbx,1),%rax or alike: the last byte is the 100 of the C source.
	const place = placeOf(object, "funcA", [0x64]);
	await start({
		edit: (bytes) => {
			expect(bytes[place]).toBe(0x64);
			bytes[place] = 0x65;
		},
	});
	const task = machine.task("t", "untraced");
	expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid, 101));
	expect(machine.call(task, "funcB")).toBe(meaning.funcB(task.pid, task.pid));
});

/** A run with a transition in it, as a list of everything that can be seen. */
async function record(seed: bigint | number, cpus: number, cpu?: string): Promise<unknown[]> {
	const { it } = await start({ seed, cpus, ...(cpu !== undefined && { cpu }) });
	const log: unknown[] = [];
	it.observe({
		call: (task, func, result) => log.push([it.sched.jiffies, it.sched.instructions, task.comm, func, result]),
	});
	it.observe({ point: (point) => log.push([it.sched.jiffies, it.sched.instructions, point]) });
	for (const name of ["t1", "t2", "t3"]) machine.task(name, "funcA", "funcD", "funcB");
	machine.kthread("k1", "funcC");
	machine.rounds(20);
	machine.patch("lp2", ["funcA", "lp2_funcA"], ["funcB", "lp2_funcB"]);
	machine.rounds(60);
	log.push(machine.dmesg(), it.sched.instructions, it.klp.inTransition);
	return log;
}

test("determinism: the same seed gives the same run, to the instruction", async () => {
	const first = await record(42, 2);
	machine.close();
	expect(await record(42, 2)).toEqual(first);
	expect(first.length).toBeGreaterThan(50);
});

test("every Cpu makes the same run, to the instruction", async () => {
	const [first, ...others] = CPU_NAMES;
	const expected = await record(43, 2, first);
	for (const name of others) {
		machine.close();
		expect(await record(43, 2, name)).toEqual(expected);
	}
});

test("all 64 bits of the seed count", async () => {
	const runs: string[] = [];
	for (const seed of [1n, 2n, 1n << 32n, 1n << 63n]) {
		runs.push(JSON.stringify(await record(seed, 2), (_, value) => (typeof value === "bigint" ? String(value) : value)));
		machine.close();
	}
	expect(new Set(runs).size).toBe(runs.length);
});

test("after everything is disabled and unloaded, text is byte for byte what it was", async () => {
	await start({ cpus: 2 });
	const before = machine.text();
	for (let i = 0; i < 3; i++) machine.task(`t${i}`, "funcA", "funcB");
	machine.rounds(10);
	for (const [source, ...funcs] of [
		["lp1", ["funcA", "lp1_funcA"]],
		["lp2", ["funcA", "lp2_funcA"], ["funcB", "lp2_funcB"]],
	] as const) {
		expect(machine.patch(source, ...(funcs as unknown as [string, string][]))).toBe(0);
		machine.settle();
	}
	expect(machine.text()).not.toEqual(before);
	for (const name of ["lp1", "lp2"]) {
		expect(machine.echo("0", `${name}/enabled`)).toBe(0);
		machine.settle();
		expect(machine.it.shell.rmmod(name)).toBe(0);
	}
	expect(machine.text()).toEqual(before);
	expect(machine.it.dmesg.warnings).toEqual([]);
});

test("memory goes back: a hundred rounds of insmod, disable, rmmod fit where one does", async () => {
	await start();
	machine.task("t", "funcA");
	machine.rounds(3);
	const regions = () => machine.it.memory.regions.map(({ name }) => name).sort();
	const before = regions();
	for (let i = 0; i < 100; i++) {
		expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
		machine.settle();
		expect(machine.echo("0", "lp1/enabled")).toBe(0);
		machine.settle();
		expect(machine.it.shell.rmmod("lp1")).toBe(0);
	}
	expect(regions()).toEqual(before);
	expect(machine.ftrace.opsByAddress.size).toBe(0);
	expect(machine.ftrace.trampolines.live.size).toBe(0);
});

describe("modules", () => {
	test("insmod of a name that is loaded: -EEXIST; rmmod: -ENOENT without it, -EAGAIN while in use", async () => {
		await start();
		expect(machine.it.shell.rmmod("lp1")).toBe(-2);
		expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
		expect(machine.patch("lp1", ["funcB", "lp1_funcA"])).toBe(-17);
		machine.settle();
		expect(machine.it.shell.rmmod("lp1")).toBe(-11);
	});

	test("the kernel is tainted by the first livepatch, and says so once", async () => {
		await start();
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		machine.patch("lp3", ["funcB", "lp3_funcB"]);
		expect(machine.dmesg("TAINT_LIVEPATCH")).toEqual(["lp1: tainting kernel with TAINT_LIVEPATCH"]);
	});
});

describe("faults of the guest", () => {
	test("a task that jumps to nowhere dies alone, with an oops that names the place", async () => {
		const { it } = await start();
		const good = machine.task("good", "funcA");
		const bad = it.tasks.add({ name: "bad", kthread: false, calls: [-0x10000] });
		machine.until(() => bad.oops !== undefined);
		expect(bad.oops).toBe("BUG: unable to handle page fault for address: 0xffffffffffff0000 at 0xffffffffffff0000");
		expect(it.sched.tasks).not.toContain(bad);
		expect(machine.call(good, "funcA")).toBe(meaning.funcA(good.pid));
	});

	test("ud2 in the compiled code is an oops at that very instruction", async () => {
		const object = await objectBytes("vmlinux/funcs");
		const place = placeOf(object, "funcA", [0x64]);
		await start({ edit: (bytes) => bytes.set([0x0f, 0x0b], place - 4) });
		const task = machine.task("t", "funcA");
		machine.until(() => task.oops !== undefined);
		const ud2 = placeOf(object, "funcA", [0x48, 0x8d]) - placeOf(object, "funcA", [0xe8]);
		expect(task.oops).toBe(`Oops: invalid opcode: 0000 at funcA+0x${ud2.toString(16)}`);
	});
});
