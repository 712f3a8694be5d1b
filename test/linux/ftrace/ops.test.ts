/** Several ops at one site: IPMODIFY, the list function, recursion, direct calls, on both Cpus. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
	FTRACE_FL,
	FTRACE_OPS_CMD,
	FTRACE_OPS_FL,
	ftrace_ops,
	PT_REGS,
	trace_clear_recursion,
	trace_test_and_set_recursion,
} from "../../../src/linux/ftrace/index.js";
import { isReady, type Kernel, runStraight } from "../../../src/linux/lib/index.js";
import { restoreMachine, saveMachine } from "../../../src/machine/index.js";
import { FtraceTest } from "../../support/ftrace.js";
import { compileModule, createTestMachine, meaning, type TestMachine } from "../../support/machine.js";

const [EAGAIN, EBUSY, EINVAL] = [-11, -16, -22];
const { DYNAMIC, IPMODIFY, RECURSION, SAVE_REGS } = FTRACE_OPS_FL;

describe.each(["jit", "unicorn"])("on %s", (cpu) => {
	let machine: TestMachine;
	let f: FtraceTest;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu });
		f = new FtraceTest(machine);
	});
	afterEach(() => {
		expect(machine.dmesg("Oops")).toEqual([]);
		machine.close();
	});

	/** Drives code by hand. */
	const untilItHasTheLock = (code: Kernel<number>): Kernel<number> => {
		while (!machine.ftrace.ftrace_lock.locked) expect(code.next().done).toBe(false);
		return code;
	};
	const untilItWaits = (code: Kernel<number>) => {
		for (let step = code.next(); ; step = code.next()) {
			if (step.done) throw new Error("it does not wait");
			if (!isReady(step.value)) return;
		}
	};

	const lp1 = () => machine.patch("lp1", ["funcA", "lp1_funcA"]);

	test("an ops in guest memory that is unregistered is forgotten: the next one at its address is found", () => {
		const { it, ftrace } = machine;
		const address = it.heap.kmalloc(256, true);
		const opsThere = (name: string) => {
			const ops = new ftrace_ops(name, undefined, machine.addr("funcC"), undefined, DYNAMIC);
			return Object.assign(ops, { address, inGuest: true });
		};
		const [first, second] = [opsThere("first"), opsThere("second")];
		expect(it.shell.run(ftrace.register_ftrace_function(first))).toBe(0);
		expect(ftrace.opsAt(address)).toBe(first);
		expect(it.shell.run(ftrace.unregister_ftrace_function(first))).toBe(0);
		expect(it.shell.run(ftrace.register_ftrace_function(second))).toBe(0);
		expect(ftrace.opsAt(address)).toBe(second);
		expect(it.shell.run(ftrace.unregister_ftrace_function(second))).toBe(0);
	});

	describe("IPMODIFY", () => {
		test("[rule 6.1] a second one at the same site is -EBUSY, and its earlier sites are unchanged", () => {
			lp1();
			machine.settle();
			const flags = () => ["funcA", "funcB", "funcC"].map((func) => f.record(func).flags);
			const before = flags();
			const ops = f.tracer("kprobe", () => {}, DYNAMIC | SAVE_REGS | IPMODIFY);
			expect(f.register(ops, "funcB", "funcA", "funcC")).toBe(EBUSY);
			expect(flags()).toEqual(before);
			expect([f.calls("funcB"), ops.address, ops.trampoline, ops.flags & FTRACE_OPS_FL.ENABLED]).toEqual([
				"nop",
				0,
				0,
				0,
			]);
			expect([...machine.ftrace.ftrace_ops_list].map(({ name }) => name)).toEqual(["funcA"]);
		});
		test("[rule 2.4] [rule 6.1] a livepatch of a function with one is -EBUSY and undone; without IPMODIFY 0", () => {
			const task = machine.task("t", "untraced");
			const hits: string[] = [];
			const rude = f.tracer("rude", () => hits.push("rude"), SAVE_REGS | IPMODIFY);
			expect(f.register(rude, "funcA")).toBe(0);
			expect(lp1()).toBe(EBUSY);
			expect(machine.dmesg("failed")).toEqual([
				"livepatch: failed to register ftrace handler for function 'funcA' (-16)",
				"livepatch: failed to patch object 'vmlinux'",
				"livepatch: failed to enable patch 'lp1'",
			]);
			expect([machine.klp.klp_patches, machine.func_stack("funcA"), machine.cat("lp1/enabled")]).toEqual([[], [], -2]);
			expect(f.unregister(rude)).toBe(0);
			const kind = f.tracer("kind", () => hits.push("kind"), SAVE_REGS);
			expect(f.register(kind, "funcA")).toBe(0);
			expect(lp1()).toBe(0);
			machine.settle();
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid, 1100));
			expect(hits).toEqual(["kind"]);
			expect(f.calls("funcA")).toBe("ftrace_regs_caller+0x0");
		});
		test("[rule 6.2] an empty filter would mean all functions: -EINVAL", () => {
			expect(f.register(f.tracer("all", () => {}, IPMODIFY))).toBe(EINVAL);
			expect(f.register(f.tracer("all", () => {}, DYNAMIC))).toBe(0);
		});
		test("[rule 6.3] together with DIRECT it is a WARN, and marks nothing", () => {
			const ops = f.tracer("both", () => {}, DYNAMIC | IPMODIFY | FTRACE_OPS_FL.DIRECT);
			f.filter(ops, "funcA");
			machine.ftrace.direct.direct_functions.set(machine.site("funcA"), machine.addr("untraced"));
			expect(f.register(ops)).toBe(0);
			expect(machine.it.dmesg.warnings).toEqual(["__ftrace_hash_update_ipmodify: is_ipmodify && is_direct"]);
			expect(f.record("funcA").flags & FTRACE_FL.IPMODIFY).toBe(0);
		});
		test("a filter that moves takes its mark along, or stays when it cannot", () => {
			lp1();
			machine.settle();
			const ops = f.tracer("kprobe", () => {}, DYNAMIC | IPMODIFY);
			f.register(ops, "funcB");
			const set = (...funcs: string[]) =>
				f.run(machine.ftrace.ftrace_set_filters(ops, new Set(funcs.map((func) => machine.site(func))), new Set()));
			const marked = () => ["funcA", "funcB", "funcC"].filter((func) => f.record(func).flags & FTRACE_FL.IPMODIFY);
			expect([set("funcC"), marked(), f.calls("funcB")]).toEqual([0, ["funcA", "funcC"], "nop"]);
			expect(f.calls("funcC")).toBe("ftrace_trampoline[kprobe]+0x0");
			expect([set("funcA", "funcB"), marked(), f.calls("funcB")]).toEqual([EBUSY, ["funcA", "funcC"], "nop"]);
			expect([...ops.filter_hash]).toEqual([machine.site("funcC")]);
			// What it has and keeps is not in its own way.
			expect([set("funcB", "funcC"), marked()]).toEqual([0, ["funcA", "funcB", "funcC"]]);
			expect([set("funcB"), marked()]).toEqual([0, ["funcA", "funcB"]]);
		});
	});

	describe("the target of a site", () => {
		test("[rule 6.14] a tracer without a filter: all functions, except notrace, and of later modules", async () => {
			const seen: string[] = [];
			const ops = f.tracer("all", (ip) => seen.push(machine.it.symbolize(ip)));
			ops.notrace_hash = new Set([machine.site("weigh")]);
			expect(f.register(ops)).toBe(0);
			const task = machine.task("t", "untraced");
			machine.call(task, "funcC");
			expect(seen).toEqual(["funcC+0x0", "funcA+0x0", "funcB+0x0"]);
			machine.insmodPlain("lp4", "lp4");
			expect(f.calls("lp4_funcA")).toBe("ftrace_trampoline[all]+0x0");
			machine.call(task, "lp4_funcA");
			expect(seen.at(-1)).toBe("lp4_funcA+0x0");
			expect(f.unregister(ops)).toBe(0);
			expect(["funcA", "lp4_funcA"].map((func) => f.calls(func))).toEqual(["nop", "nop"]);
		});
		test("[rule 6.14] functions of a module that comes while an ops is registered are counted once", () => {
			const ops = f.tracer("all", () => {});
			const registering = untilItHasTheLock(machine.ftrace.register_ftrace_function(ops));
			const loading = machine.it.loader.load_module("lp4", [machine.object("lp4")], {});
			// Its functions have records now, and wait for ftrace_module_enable().
			untilItWaits(loading);
			expect(f.record("lp4_funcA")).toMatchObject({ flags: FTRACE_FL.DISABLED, count: 0 });
			expect(runStraight(registering)).toBe(0);
			expect(f.record("lp4_funcA").count).toBe(0);
			expect(f.run(loading)).toBe(0);
			expect(f.record("lp4_funcA").count).toBe(1);
			expect(f.calls("lp4_funcA")).toBe("ftrace_trampoline[all]+0x0");
			expect(f.unregister(ops)).toBe(0);
			expect(f.record("lp4_funcA").count).toBe(0);
			expect(f.calls("lp4_funcA")).toBe("nop");
		});
		test("the records of a module that goes stay while another has ftrace_lock", () => {
			machine.insmodPlain("lp4", "lp4");
			const site = machine.site("lp4_funcA");
			const ops = f.tracer("all", () => {});
			const registering = untilItHasTheLock(machine.ftrace.register_ftrace_function(ops));
			const removing = machine.it.loader.delete_module("lp4");
			untilItWaits(removing);
			expect(machine.ftrace.records.has(site)).toBe(true);
			expect(runStraight(registering)).toBe(0);
			expect(f.callee(site)).toBeDefined();
			expect(f.run(removing)).toBe(0);
			expect(machine.ftrace.records.has(site)).toBe(false);
			expect(machine.it.modules.has("lp4")).toBe(false);
		});
		test("[rule 6.10] ftrace_caller calls a single static ops itself, a dynamic one through the list function", () => {
			const caller = () => {
				const { memory } = machine.it;
				const code = f.run(
					machine.ftrace.ftrace_set_filters(
						f.tracer("x", () => {}),
						new Set(),
						new Set(),
					),
				);
				expect(code).toBe(0);
				// The call within ftrace_caller: the only e8 behind the load of the ops.
				const start = callerStart();
				const bytes = Buffer.from(memory.read(start, 200));
				const at = bytes.indexOf(0xe8, bytes.indexOf(Buffer.from([0x48, 0x8b, 0x15])));
				return machine.it.symbolize((start + at + 5 + bytes.readInt32LE(at + 1)) | 0).replace(/\+0x0$/, "");
			};
			const callerStart = () => {
				const two = [f.tracer("a", () => {}), f.tracer("b", () => {})];
				for (const ops of two) f.register(ops, "funcD");
				const start = f.callee(machine.site("funcD"))!;
				for (const ops of two) f.unregister(ops);
				return start;
			};
			expect(caller()).toBe("ftrace_stub");
			const fixed = f.tracer("fixed", () => {}, 0);
			f.register(fixed, "funcA");
			expect(caller()).toBe("ftrace_host_func");
			const dynamic = f.tracer("dynamic", () => {});
			f.register(dynamic, "funcA");
			expect(caller()).toBe("ftrace_ops_list_func");
			f.unregister(fixed);
			expect(caller()).toBe("ftrace_ops_list_func");
			f.unregister(dynamic);
			expect(caller()).toBe("ftrace_stub");
		});
		test("[rule 6.10] SAVE_REGS: one ops that wants them makes the site call ftrace_regs_caller for all", () => {
			const plain = f.tracer("plain", () => {});
			const full = f.tracer("full", () => {}, DYNAMIC | SAVE_REGS);
			f.register(plain, "funcA");
			f.register(full, "funcA");
			expect(f.calls("funcA")).toBe("ftrace_regs_caller+0x0");
			f.register(
				f.tracer("third", () => {}),
				"funcA",
			);
			f.unregister(full);
			expect(f.calls("funcA")).toBe("ftrace_caller+0x0");
			f.unregister(plain);
			expect(f.calls("funcA")).toBe("ftrace_trampoline[third]+0x0");
		});
		test("without memory for a trampoline the site calls ftrace_caller, and all works as well", () => {
			const task = machine.task("t", "untraced");
			let calls = 0;
			machine.it.faults.should_fail = (site) => site.startsWith("alloc_tramp(");
			const ops = f.tracer("poor", () => calls++);
			expect(f.register(ops, "funcA")).toBe(0);
			machine.it.faults.should_fail = () => false;
			expect([f.calls("funcA"), ops.trampoline]).toEqual(["ftrace_caller+0x0", 0]);
			machine.call(task, "funcA");
			expect([calls, f.unregister(ops), f.calls("funcA")]).toEqual([1, 0, "nop"]);
		});
		test("a static ops keeps its trampoline, and uses it again", () => {
			const ops = f.tracer("fixed", () => {}, 0);
			f.register(ops, "funcA");
			const { trampoline, address } = ops;
			f.unregister(ops);
			expect([ops.trampoline, ops.address, f.calls("funcA")]).toEqual([trampoline, address, "nop"]);
			f.register(ops, "funcB");
			expect(f.calls("funcB")).toBe("ftrace_trampoline[fixed]+0x0");
		});
		test("a machine that goes back to a snapshot has the trampolines of that time", () => {
			const ops = f.tracer("there", () => {});
			f.register(ops, "funcA");
			const { it, ftrace } = machine;
			const named = (at: number) => ftrace.trampolines.containing(at)?.ops.name;
			const at = (ops.trampoline + 8) | 0;
			const saved = saveMachine(it);
			f.unregister(ops);
			expect(named(at)).toBe(undefined);
			restoreMachine(it, saved);
			expect([named(at), it.symbolize(at)]).toEqual(["there", "ftrace_trampoline[there]+0x8"]);
			expect(f.calls("funcA")).toBe("ftrace_trampoline[there]+0x0");
		});
		test.each([0, SAVE_REGS])("a kept trampoline calls what its ops needs now, with the flags %i", (flags) => {
			const task = machine.task("t", "untraced");
			let hits = 0;
			const ops = f.tracer("kept", () => hits++, flags);
			const calledBy = (start: number) => {
				const bytes = Buffer.from(machine.it.memory.read(start, ops.trampoline_size));
				const at = bytes.indexOf(0xe8, bytes.indexOf(Buffer.from([0x48, 0x8b, 0x15])));
				return machine.it.symbolize((start + at + 5 + bytes.readInt32LE(at + 1)) | 0).replace(/\+0x0$/, "");
			};
			const called = (more: number) => {
				ops.flags = (ops.flags & ~RECURSION) | more;
				f.register(ops, "funcA");
				machine.call(task, "funcA");
				f.unregister(ops);
				return calledBy(ops.trampoline);
			};
			expect(called(0)).toBe("ftrace_host_func");
			expect(called(RECURSION)).toBe("ftrace_ops_assist_func");
			expect(called(0)).toBe("ftrace_host_func");
			expect(hits).toBe(3);
		});
	});

	test("[rule 7.3] ftrace_regs_caller: the call-back may change any register but r11", async () => {
		// r10 and r11 as they are behind the fentry site, before anything else could change them.
		const text = `#include <linux/module.h>
			MODULE_LICENSE("GPL");
			noinline long both(void) { long a, b; asm volatile("mov %%r10, %0; mov %%r11, %1" : "=r"(a), "=r"(b)); return a << 16 | b; }
			notrace noinline long outer(long x) {
				long result;
				asm volatile("mov $0x11, %%r10d; mov $0x22, %%r11d; call both" : "=a"(result) : : "memory", "cc", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
				return result;
			}`;
		expect(machine.insmodC("regs", await compileModule("regs", text))).toBe(0);
		const task = machine.task("t", "untraced");
		const seen: bigint[] = [];
		const { memory } = machine.it;
		const change = (_ip: number, _parent: number, _ops: number, fregs: number) => {
			for (const slot of [PT_REGS.R10, PT_REGS.R11]) seen.push(memory.u64((fregs + slot) | 0));
			memory.setU64((fregs + PT_REGS.R10) | 0, 0x33n);
			memory.setU64((fregs + PT_REGS.R11) | 0, 0x44n);
		};
		expect(machine.call(task, "outer")).toBe(0x110022);
		f.register(f.tracer("regs", change, DYNAMIC | SAVE_REGS), "both");
		expect(machine.call(task, "outer")).toBe(0x330022);
		expect(seen).toEqual([0x11n, 0x22n]);
	});

	describe("call-backs in the guest", () => {
		test("are called by their own trampoline, and by the list function together with livepatch", async () => {
			await f.loadTracers();
			const task = machine.task("t", "untraced");
			const ops = f.guestTracer("tracer_func");
			f.register(ops, "funcA");
			machine.call(task, "funcA");
			expect(f.variable("tracer_calls")).toBe(1);
			lp1();
			machine.settle();
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid, 1100));
			expect(f.variable("tracer_calls")).toBe(2);
			f.unregister(ops);
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid, 1100));
			expect(f.variable("tracer_calls")).toBe(2);
		});
		test("[rule 6.9] RECURSION: an ops that calls its traced function is called once more, then no deeper", async () => {
			await f.loadTracers();
			const task = machine.task("t", "untraced");
			const ops = f.guestTracer("recursive_func", DYNAMIC | RECURSION);
			f.register(ops, "weigh");
			expect(machine.call(task, "weigh")).toBe(meaning.weigh(task.pid));
			// Once for the call, once as what might be an interrupt (the TRANSITION bit), and then the bits are taken.
			expect(f.variable("recursive_calls")).toBe(2);
			expect(task.trace_recursion).toBe(0);
		});
		test("[rule 6.10] the list function protects all of its ops so", async () => {
			await f.loadTracers();
			const task = machine.task("t", "untraced");
			f.register(f.guestTracer("recursive_func"), "weigh");
			f.register(f.guestTracer("tracer_func"), "weigh");
			expect(machine.call(task, "weigh")).toBe(meaning.weigh(task.pid));
			expect([f.variable("recursive_calls"), f.variable("tracer_calls"), task.trace_recursion]).toEqual([2, 2, 0]);
		});
		test("without protection the stack ends in the guard page", async () => {
			await f.loadTracers();
			const task = machine.task("t", "weigh");
			machine.it.tasks.wake(task);
			f.register(f.guestTracer("recursive_func"), "weigh");
			machine.until(() => task.oops !== undefined);
			expect(task.oops).toMatch(/page fault/);
			machine.it.dmesg.records.length = 0;
		});
		test("preemption is disabled in them: no other task runs while a bit is set", async () => {
			await f.loadTracers();
			for (const name of ["a", "b", "c"]) machine.task(name, "weigh", "funcC");
			f.register(f.guestTracer("recursive_func", DYNAMIC | RECURSION), "weigh");
			f.register(f.guestTracer("tracer_func"), "weigh", "funcA");
			for (let i = 0; i < 300; i++) {
				machine.it.round();
				expect([...machine.it.sched.all()].filter((task) => task.trace_recursion !== 0)).toEqual([]);
			}
			expect(f.variable("recursive_calls")).toBeGreaterThan(50);
		});
	});

	describe("direct calls", () => {
		const direct = (...funcs: string[]) => f.filter(new ftrace_ops("direct", undefined, 0, undefined, 0), ...funcs);
		const register = (ops: ftrace_ops, tramp: string) =>
			f.run(machine.ftrace.direct.register_ftrace_direct(ops, machine.addr(tramp)));
		const unregister = (ops: ftrace_ops, tramp: string) =>
			f.run(machine.ftrace.direct.unregister_ftrace_direct(ops, machine.addr(tramp)));

		/** An ops_func that always says the same. */
		const answers = (ret: number, asked: number[] = []) =>
			function* (cmd: number): Kernel<number> {
				asked.push(cmd);
				yield "ops_func";
				return ret;
			};

		test("[rule 6.11] alone: the site calls the function itself", async () => {
			await f.loadTracers();
			const task = machine.task("t", "untraced");
			const ops = direct("funcA");
			expect(register(ops, "direct_tramp")).toBe(0);
			expect(f.calls("funcA")).toBe("direct_tramp+0x0");
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid));
			expect(f.variable("direct_calls")).toBe(1);
			expect([f.record("funcA").flags & FTRACE_FL.DIRECT_EN, machine.ftrace.direct.direct_functions.size]).toEqual([
				FTRACE_FL.DIRECT_EN,
				1,
			]);
			expect(unregister(ops, "direct_tramp")).toBe(0);
			expect([f.calls("funcA"), machine.ftrace.direct.direct_functions.size]).toEqual(["nop", 0]);
		});
		test("[rule 6.11] [rule 7.4] with a tracer: through ftrace_regs_caller and orig_rax; alone: direct", async () => {
			await f.loadTracers();
			const task = machine.task("t", "untraced");
			const ops = direct("funcA");
			const seen: bigint[] = [];
			const tracer = f.tracer("t", (_ip, _parent, _ops, fregs) => {
				seen.push(machine.it.memory.u64((fregs + PT_REGS.ORIG_RAX) | 0));
			});
			register(ops, "direct_tramp");
			f.register(tracer, "funcA");
			expect(f.calls("funcA")).toBe("ftrace_regs_caller+0x0");
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid));
			expect([f.variable("direct_calls"), seen]).toEqual([1, [0n]]);
			expect(f.unregister(tracer)).toBe(0);
			expect(f.calls("funcA")).toBe("direct_tramp+0x0");
			machine.call(task, "funcA");
			expect(f.variable("direct_calls")).toBe(2);
			// The other way round: what is left of the site's flags is the tracer's.
			f.register(tracer, "funcA");
			expect(unregister(ops, "direct_tramp")).toBe(0);
			expect(f.calls("funcA")).toBe("ftrace_trampoline[t]+0x0");
			const { DIRECT, DIRECT_EN, ENABLED } = FTRACE_FL;
			expect(f.record("funcA").flags & (DIRECT | DIRECT_EN | ENABLED)).toBe(ENABLED);
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid));
			expect([f.variable("direct_calls"), seen]).toEqual([2, [0n, 0n]]);
		});
		test("two at one site: -EBUSY; not a direct ops, or registered already: -EINVAL", async () => {
			await f.loadTracers();
			const first = direct("funcA");
			expect(register(first, "direct_tramp")).toBe(0);
			expect([register(direct("funcB", "funcA"), "direct_tramp"), f.calls("funcB")]).toEqual([EBUSY, "nop"]);
			expect(register(first, "direct_tramp")).toBe(EINVAL);
			expect(register(direct(), "direct_tramp")).toBe(EINVAL);
			for (const of of ["func", "trampoline"] as const) {
				const other = direct("funcB");
				other[of] = machine.addr("untraced");
				expect([register(other, "direct_tramp"), f.calls("funcB")]).toEqual([EINVAL, "nop"]);
			}
			expect(unregister(direct("funcA"), "direct_tramp")).toBe(EINVAL);
		});
		test("[rule 6.4] over a livepatch: -EBUSY when it cannot share; and the other way round", async () => {
			await f.loadTracers();
			lp1();
			machine.settle();
			const ops = direct("funcA");
			expect([register(ops, "direct_tramp"), ops.func, ops.trampoline]).toEqual([EBUSY, 0, 0]);
			expect([machine.ftrace.direct.direct_functions.size, f.calls("funcA")]).toEqual([
				0,
				"ftrace_trampoline[funcA]+0x0",
			]);
			machine.echo("0", "lp1/enabled");
			machine.settle();
			expect(register(ops, "direct_tramp")).toBe(0);
			expect(machine.patch("lp2", ["funcA", "lp2_funcA"])).toBe(EBUSY);
			expect(f.calls("funcA")).toBe("direct_tramp+0x0");
		});
		test("[rule 6.5] a shared site: ops_func is called, and the direct function returns into the livepatch", async () => {
			await f.loadTracers();
			const asked: number[] = [];
			const task = machine.task("t", "untraced");
			const ops = direct("funcA");
			ops.ops_func = answers(0, asked);
			expect(register(ops, "direct_tramp")).toBe(0);
			expect(asked).toEqual([]);
			expect(lp1()).toBe(0);
			machine.settle();
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid, 1100));
			expect(f.variable("direct_calls")).toBe(1);
			machine.echo("0", "lp1/enabled");
			machine.settle();
			const { ENABLE_SHARE_IPMODIFY_PEER, DISABLE_SHARE_IPMODIFY_PEER } = FTRACE_OPS_CMD;
			expect(asked).toEqual([ENABLE_SHARE_IPMODIFY_PEER, DISABLE_SHARE_IPMODIFY_PEER]);
			expect(f.calls("funcA")).toBe("direct_tramp+0x0");
		});
		test("[rule 6.5] only the direct ops of the livepatched function is asked, whatever else is registered", async () => {
			await f.loadTracers();
			const asked: string[] = [];
			const named = (name: string, ret: number) => {
				const ops = direct(name);
				ops.ops_func = function* (): Kernel<number> {
					asked.push(name);
					yield "ops_func";
					return ret;
				};
				expect(register(ops, "direct_tramp")).toBe(0);
			};
			named("funcB", 0);
			named("funcA", EAGAIN);
			f.register(
				f.tracer("t", () => {}),
				"funcB",
			);
			expect(machine.patch("lp2", ["funcB", "lp2_funcB"])).toBe(0);
			machine.settle();
			machine.echo("0", "lp2/enabled");
			machine.settle();
			expect(asked).toEqual(["funcB", "funcB"]);
		});
		test("[rule 6.4] [rule 6.5] -EAGAIN of ops_func comes out of registering either of them", async () => {
			await f.loadTracers();
			const ops = direct("funcA");
			const asked: number[] = [];
			ops.ops_func = answers(EAGAIN, asked);
			register(ops, "direct_tramp");
			expect(lp1()).toBe(EAGAIN);
			unregister(ops, "direct_tramp");
			expect(lp1()).toBe(0);
			machine.settle();
			expect([register(ops, "direct_tramp"), machine.ftrace.direct.direct_functions.size]).toEqual([EAGAIN, 0]);
			const { ENABLE_SHARE_IPMODIFY_PEER, ENABLE_SHARE_IPMODIFY_SELF } = FTRACE_OPS_CMD;
			expect(asked).toEqual([ENABLE_SHARE_IPMODIFY_PEER, ENABLE_SHARE_IPMODIFY_SELF]);
		});
		test("as BPF: a trampoline that calls the original itself is exchanged, so that the livepatch has effect", async () => {
			await f.loadTracers();
			const task = machine.task("t", "untraced");
			const ops = direct("funcA");
			register(ops, "direct_tramp_orig");
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid));
			expect(f.variable("last_result")).toBe(meaning.funcA(task.pid));
			// Without the exchange: the livepatch is not called.
			ops.ops_func = answers(0);
			lp1();
			machine.settle();
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid));
			machine.echo("0", "lp1/enabled");
			machine.settle();
			ops.ops_func = function* (cmd): Kernel<number> {
				if (cmd !== FTRACE_OPS_CMD.ENABLE_SHARE_IPMODIFY_PEER) return 0;
				return yield* machine.ftrace.direct.modify_ftrace_direct_nolock(ops, machine.addr("direct_tramp_stack"));
			};
			machine.patch("lp2", ["funcA", "lp2_funcA"]);
			machine.settle();
			expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid, 2100));
			expect(f.variable("last_result")).toBe(meaning.funcA(task.pid, 2100));
		});
		test("modify: the site calls the new function, by way of the list function", async () => {
			await f.loadTracers();
			const ops = direct("funcA");
			register(ops, "direct_tramp");
			const labels: string[] = [];
			machine.it.observe({ point: (label) => labels.push(`${label}: ${f.calls("weigh")}`) });
			expect(f.run(machine.ftrace.direct.modify_ftrace_direct(ops, machine.addr("direct_tramp_stack")))).toBe(0);
			expect(f.calls("funcA")).toBe("direct_tramp_stack+0x0");
			expect(machine.ftrace.direct.ftrace_find_rec_direct(machine.site("funcA"))).toBe(
				machine.addr("direct_tramp_stack"),
			);
			expect(labels.some((label) => label.startsWith("__modify_ftrace_direct"))).toBe(true);
			const other = direct("funcB");
			expect(f.run(machine.ftrace.direct.modify_ftrace_direct(other, machine.addr("direct_tramp")))).toBe(EINVAL);
		});
		test("the stack of a task in a direct function can be walked", async () => {
			await f.loadTracers();
			const ops = direct("funcA");
			register(ops, "direct_tramp_stack");
			const sleeper = machine.it.tasks.add({
				name: "s",
				kthread: false,
				calls: [machine.addr("funcC")],
				sleepAt: () => [(machine.site("funcA") + 5) | 0],
			});
			machine.until(() => sleeper.held);
			const names = machine.it.unwinder
				.stack_trace_save_tsk_reliable(sleeper)!
				.map((ip) => machine.it.symbolize(ip).replace(/\+.*/, ""));
			expect(names).toEqual(["funcA", "direct_tramp_stack", "funcA", "funcC", "do_syscall_64", "entry_SYSCALL_64"]);
		});
	});
});

describe("recursion bits", () => {
	test("the first recursion is allowed on the TRANSITION bit, the second is not; users are independent", () => {
		const task = { trace_recursion: 0 };
		const take = (start: number) => trace_test_and_set_recursion(task, start);
		expect([take(0), take(0), take(0), take(5), take(5), take(5)]).toEqual([3, 4, -1, 8, 9, -1]);
		for (const bit of [9, 4, 8]) trace_clear_recursion(task, bit);
		expect([task.trace_recursion, take(0), take(0)]).toEqual([8, 4, -1]);
	});
});
