/** What a snapshot of a machine holds: everything. */
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import ts from "typescript";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { FTRACE_OPS_FL, ftrace_ops } from "../../src/linux/ftrace/index.js";
import { LAYOUT, Machine, restoreMachine, type SavedMachine, saveMachine } from "../../src/machine/index.js";
import { PAGE_SIZE, PERM } from "../../src/memory/index.js";
import { nodeHost } from "../../src/node/index.js";
import { parseScenario, runScenario } from "../../src/scenario/index.js";
import { difference, dumpMachine } from "../support/dump.js";
import { compileModule, createTestMachine, type TestMachine } from "../support/machine.js";
import { LONG, sample } from "../support/sample.js";

const ROUNDS = 50;
/** Rounds of a scenario before which its machine is saved. */
const POINTS: readonly number[] = LONG ? [2, 25, 50, 100] : [2, 50];

/** A machine as it was saved, and what it was like then. */
interface Point {
	readonly saved: SavedMachine;
	readonly before: readonly string[];
}

/** Runs without anybody who watches: observers are no part of the machine. */
function unobserved<T>(machine: Machine, run: () => T): T {
	const { observers } = machine;
	Object.defineProperty(observers, Symbol.iterator, { configurable: true, value: () => [].values() });
	try {
		return run();
	} finally {
		Reflect.deleteProperty(observers, Symbol.iterator);
	}
}

/** What a machine is like after some rounds from where it was saved. */
function replay(machine: Machine, saved: SavedMachine, round: () => void): readonly string[] {
	restoreMachine(machine, saved);
	for (let i = 0; i < ROUNDS; i++) round();
	return dumpMachine(machine);
}

/** Saves a machine at some rounds of its run, plays it forth and back, and lets it go on; at the end it goes back to each. */
class Trial {
	readonly points: Point[] = [];
	readonly differences: (string | undefined)[] = [];
	#rounds = 0;

	/** `round`: makes one round of the machine, and nothing else. */
	watch(machine: Machine, round: () => void): void {
		machine.round = () => {
			if (POINTS.includes(++this.#rounds) && !machine.busy) unobserved(machine, () => this.#save(machine, round));
			round();
		};
		const close = machine.close.bind(machine);
		machine.close = () => {
			if (!machine.busy) unobserved(machine, () => this.#goBack(machine));
			close();
		};
	}

	#save(machine: Machine, round: () => void): void {
		try {
			const saved = saveMachine(machine);
			// The caches are dropped before each dump, so that they do not differ.
			restoreMachine(machine, saved);
			this.points.push({ saved, before: dumpMachine(machine) });
			const after = replay(machine, saved, round);
			this.differences.push(difference(after, replay(machine, saved, round)));
			restoreMachine(machine, saved);
		} catch (error) {
			if (!(error instanceof KlpemuError) || error.code !== "SNAPSHOT_BUSY") throw error;
		}
	}

	#goBack(machine: Machine): void {
		for (const { saved, before } of this.points) {
			restoreMachine(machine, saved);
			this.differences.push(difference(before, dumpMachine(machine)));
		}
	}
}

/** Runs a scenario; with a trial, which watches its machine from the first round on. */
async function run(file: string, trial?: Trial) {
	const { round } = Machine.prototype;
	if (trial !== undefined) {
		vi.spyOn(Machine.prototype, "round").mockImplementationOnce(function (this: Machine) {
			trial.watch(this, round.bind(this));
			this.round();
		});
	}
	try {
		const scenario = parseScenario(await readFile(file, "utf8"), file);
		return await runScenario(scenario, { host: nodeHost(file) });
	} finally {
		vi.restoreAllMocks();
	}
}

/** A scenario whose steps make no round of the machine: there is nothing to go back in. */
const NO_ROUND = "flush-locked.yaml";
const files = ["scenarios", "scenarios/family"].flatMap((folder) =>
	readdirSync(folder)
		.filter((name) => name.endsWith(".yaml") && name !== NO_ROUND)
		.map((name) => `${folder}/${name}`),
);

describe("a machine that goes back to a snapshot", () => {
	test.each(sample(files, 12))("is what it was, and goes on as it did: %s", async (file) => {
		const trial = new Trial();
		const report = await run(file, trial);
		expect(trial.points.length).toBeGreaterThan(0);
		expect(trial.differences.filter((line) => line !== undefined)).toEqual([]);
		expect(report).toEqual(await run(file));
	});
});

/** A module with something of all that the kernel remembers of guest code. */
const EVERYTHING = `
#include <linux/kobject.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
MODULE_LICENSE("GPL");
static char *name = "nobody";
module_param(name, charp, 0644);
static struct module *self = THIS_MODULE;
static struct kobject *kobj;
static int runs, one;
static void count(struct work_struct *work) { runs++; }
DECLARE_WORK(now, count);
DECLARE_DELAYED_WORK(later, count);
static int m_init(void)
{
	kobj = kobject_create_and_add("m", kernel_kobj);
	klp_shadow_alloc(&one, 5, sizeof(int), GFP_KERNEL, NULL, NULL);
	schedule_work(&now);
	schedule_delayed_work(&later, 30);
	return self == NULL || current->pid == 0;
}
static void m_exit(void)
{
	cancel_delayed_work_sync(&later);
	klp_shadow_free_all(5, NULL);
	kobject_put(kobj);
}
module_init(m_init);
module_exit(m_exit);
`;

describe("a snapshot has the state that modules in C leave in the kernel", () => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ kernel: true, cpus: 2 });
	});
	afterEach(() => machine.close());

	/** Goes back to a snapshot after `act`, twice: each time the machine is as it was, and goes the same way again. */
	function thereAndBack(act: () => void): void {
		const { it } = machine;
		const saved = saveMachine(it);
		const visit = () => {
			restoreMachine(it, saved);
			const before = dumpMachine(it);
			act();
			const there = dumpMachine(it);
			machine.rounds(ROUNDS);
			return { before, there, after: dumpMachine(it) };
		};
		const [first, second] = [visit(), visit()];
		for (const when of ["before", "there", "after"] as const) {
			expect(difference(first[when], second[when]), when).toBeUndefined();
		}
		expect(difference(first.before, first.there)).toBeDefined();
	}
	const load = async () => {
		const object = await compileModule("m", EVERYTHING);
		return () => expect(machine.insmodC("m", object, { name: "somebody" })).toBe(0);
	};

	test("objects, kobjects, works and shadow variables of a module that comes", async () => {
		thereAndBack(await load());
		const { heap, exports } = machine.it;
		const { kobjects, shadow } = exports;
		expect([heap.count > 5, kobjects.paths(), shadow.count]).toEqual([true, ["/sys/kernel/m"], 1]);
	});

	test("and of one that goes", async () => {
		(await load())();
		machine.rounds(3);
		thereAndBack(() => expect(machine.it.shell.rmmod("m")).toBe(0));
	});

	test("and of one that waits for its work", async () => {
		(await load())();
		thereAndBack(() => machine.rounds(40));
	});

	test("a parameter's text, which is the kernel's to free", async () => {
		(await load())();
		thereAndBack(() => expect(machine.it.shell.write("/sys/module/m/parameters/name", "other")).toBe(0));
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
});

describe("after a restore", () => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ kernel: true });
	});
	afterEach(() => machine.close());

	test("an ops is found by its address, not the one that came there later", () => {
		const { it, ftrace } = machine;
		const ops = (name: string) =>
			new ftrace_ops(name, undefined, machine.addr("funcB"), undefined, FTRACE_OPS_FL.DYNAMIC);
		const [first, second] = [ops("first"), ops("second")];
		it.shell.run(ftrace.register_ftrace_function(first));
		const { address } = first;
		const saved = saveMachine(it);
		it.shell.run(ftrace.unregister_ftrace_function(first));
		it.shell.run(ftrace.register_ftrace_function(second));
		expect(second.address).toBe(address);
		expect(ftrace.opsAt(address)).toBe(second);
		restoreMachine(it, saved);
		expect(ftrace.opsAt(address)).toBe(first);
	});

	test("the handler takes the entry of that time, not that of its last call", () => {
		const { it } = machine;
		const task = machine.task("t", "funcA", "funcB");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		const patched = machine.call(task, "funcA");
		const saved = saveMachine(it);
		machine.echo("0", "lp1/enabled");
		machine.settle();
		expect(machine.call(task, "funcA")).not.toBe(patched);
		machine.patch("lp2", ["funcB", "lp2_funcB"]);
		machine.settle();
		machine.call(task, "funcB");
		restoreMachine(it, saved);
		expect(machine.call(task, "funcA")).toBe(patched);
	});

	test("pages that are mapped are zero, whatever was there in between", () => {
		const { it } = machine;
		const saved = saveMachine(it);
		const { offset } = it.memory.map("one", LAYOUT.modules + 0x100000, PAGE_SIZE, PERM.READ | PERM.WRITE);
		it.memory.bytes.fill(0xff, offset, offset + PAGE_SIZE);
		restoreMachine(it, saved);
		const again = it.memory.map("two", LAYOUT.modules, PAGE_SIZE, PERM.READ | PERM.WRITE);
		expect(again.offset).toBe(offset);
		expect(it.memory.u64(LAYOUT.modules)).toBe(0n);
	});
});

describe("a machine cannot be saved", () => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ kernel: true });
	});
	afterEach(() => machine.close());
	const busy = (message: string) =>
		expect.objectContaining({ code: "SNAPSHOT_BUSY", message: expect.stringContaining(message) });

	test("nor restored while kernel code is in progress", () => {
		const { it } = machine;
		const saved = saveMachine(it);
		const errors: unknown[] = [];
		const note = (action: () => void) => {
			try {
				action();
			} catch (error) {
				errors.push(error);
			}
		};
		const stop = it.observe({
			point: () => {
				note(() => saveMachine(it));
				note(() => restoreMachine(it, saved));
			},
		});
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		stop();
		expect(errors.slice(0, 2)).toEqual([busy("kernel code is in progress"), busy("kernel code is in progress")]);
	});

	test("while a task waits in a kernel function that is TypeScript", async () => {
		const text = `
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/workqueue.h>
MODULE_LICENSE("GPL");
static void sleep(struct work_struct *work) { msleep(1000); }
DECLARE_WORK(work, sleep);
static int m_init(void) { schedule_work(&work); return 0; }
module_init(m_init);`;
		machine.insmodC("sleepy", await compileModule("sleepy", text));
		machine.rounds(3);
		expect(() => saveMachine(machine.it)).toThrow(busy("task 'kworker/0:2' is in a kernel function"));
		machine.rounds(20);
		expect(() => saveMachine(machine.it)).not.toThrow();
	});
});

/** Fields that can change and that their class does not declare, with the reason. */
const NO_STATE: Readonly<Record<string, string>> = {
	"Records.sorted": "a cache, which is dropped",
	"Heap.known": "a cache, which is dropped",
	"Heap.shadowed": "false once the heap has been restored, until the shadow is made anew",
	"GuestWorkqueue.servers": "a choice of the explorer",
	"Records.direct_functions": "declared by DirectFunctions",
	...Object.fromEntries(
		["lock", "ops_list", "enabled", "disabled", "trace_function"].map((name) => [
			`FtraceCore.ftrace_${name}`,
			"declared by Ftrace",
		]),
	),
	"FtraceCore.opsByAddress": "declared by Ftrace",
	"FtraceCore.saved_ftrace_func": "declared by Ftrace",
	"FtraceCore.sharedCallerUsed": "declared by Ftrace",
	"KlpCore.klp_mutex": "declared by Klp",
	"KlpCore.klp_patches": "declared by Klp",
	"Sched.currentTask": "declared as `current`",
	"Rounds.rest": "a generator: while there is one, the machine is busy",
	"Klp.#handlers": "filled while the machine is built",
	"HostCalls.#functions": "filled while the machine is built",
	"FaultInjection.should_fail": "a choice of the caller",
	"Unwinder.#substitutes": "a choice of the caller",
	"Observers.#all": "observers are no part of the machine",
	"Icache.held": "changes of text that the Cpu has yet to be told, restored or not",
	"Walk.ip": "lives for one walk",
	"Walk.lowest": "lives for one walk",
	"Walk.isCallSite": "lives for one walk",
	"GuestCalls.stepper": "wiring: set once, by the explorer",
	"PerCpu.own": "wiring: set once, by the explorer",
	"PerCpu.cpuNumber": "wiring: set once, before the machine runs",
	"GuestCalls.watch": "wiring: set once, before the machine runs",
	"Sched.structs": "wiring: set once, before the machine runs",
	"Sched.otherReaders": "wiring: set once, before the machine runs",
	"Walk.known": "lives for one walk of a stack",
	"Rounds.kworkerBusy": "false whenever a machine can be saved",
	"Rounds.running": "0 whenever a machine can be saved",
};

test("each field that can change is declared", () => {
	const found = ["src/linux", "src/machine"].flatMap((folder) =>
		readdirSync(folder, { recursive: true, encoding: "utf8" })
			.filter((file) => file.endsWith(".ts"))
			.flatMap((file) => undeclared(`${folder}/${file}`)),
	);
	expect(found.filter((field) => !(field in NO_STATE))).toEqual([]);
});

/** `Class.field` of all fields in a file that are not readonly, or begin as an empty collection, and that their class does not declare. */
function undeclared(file: string): string[] {
	const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true);
	return source.statements.filter(ts.isClassDeclaration).flatMap((type) => {
		const fields = type.members.filter(ts.isPropertyDeclaration);
		const isStatic = (field: ts.PropertyDeclaration) => modifiers(field).includes(ts.SyntaxKind.StaticKeyword);
		const declared =
			fields.find((field) => isStatic(field) && field.name.getText() === "state")?.initializer?.getText() ?? "";
		if (/"(all|rest)"/.test(declared) && !declared.includes('fields: ["all"]')) return [];
		return fields
			.filter((field) => !isStatic(field) && canChange(field) && !declared.includes(`"${field.name.getText()}"`))
			.map((field) => `${type.name?.text}.${field.name.getText()}`);
	});
}

function modifiers(field: ts.PropertyDeclaration): ts.SyntaxKind[] {
	return (field.modifiers ?? []).map(({ kind }) => kind);
}

function canChange(field: ts.PropertyDeclaration): boolean {
	if (!modifiers(field).includes(ts.SyntaxKind.ReadonlyKeyword)) return true;
	return /^(\[|new (Map|Set|list_head|mutex)\b)/.test(field.initializer?.getText() ?? "");
}
