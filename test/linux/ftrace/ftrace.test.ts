/** Call sites, trampolines, ops: the bytes that are written, and what tasks that run meanwhile get to see. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
	FTRACE_FL,
	FTRACE_OPS_FL,
	ftrace_call_replace,
	type ftrace_ops,
	NOP5,
	PT_REGS,
	TextPoke,
} from "../../../src/linux/ftrace/index.js";
import { type Icache, isReady, type Kernel, labelOf, runStraight } from "../../../src/linux/lib/index.js";
import type { Kaddr } from "../../../src/memory/index.js";
import { toKaddr } from "../../../src/memory/index.js";
import { FtraceTest } from "../../support/ftrace.js";
import { createTestMachine, meaning, type TestMachine } from "../../support/machine.js";

const [EBUSY, EINVAL, ENODEV] = [-16, -22, -19];
const { DYNAMIC, IPMODIFY, PERMANENT, SAVE_REGS } = FTRACE_OPS_FL;

let machine: TestMachine;
let f: FtraceTest;
beforeEach(async () => {
	machine = await createTestMachine();
	f = new FtraceTest(machine);
});
afterEach(() => machine.close());

const gate = (name: string) => f.gate(name);
const tracer: FtraceTest["tracer"] = (name, call, flags) => f.tracer(name, call, flags);
const run = (code: Kernel<number>) => f.run(code);
const register = (ops: ftrace_ops, ...funcs: string[]) => f.register(ops, ...funcs);
const unregister = (ops: ftrace_ops) => f.unregister(ops);
const bytesAt = (address: Kaddr, length = 5) => [...machine.it.memory.read(address, length)];
const record = (func: string) => f.record(func);
const callee = (site: Kaddr) => f.callee(site);

describe("call sites", () => {
	test("are the five byte nop after loading; functions without one are not found", () => {
		for (const func of ["funcA", "funcB", "funcC", "weigh"]) expect(bytesAt(machine.site(func))).toEqual([...NOP5]);
		expect(machine.site("untraced")).toBe(0);
		expect(machine.ftrace.ftrace_location((machine.addr("funcA") + 1) | 0)).toBe(0);
		const { sites } = machine.ftrace;
		const [first, last] = [sites.sorted[0]!.ip, sites.sorted.at(-1)!.ip];
		const ranges = [
			[first - 8, first],
			[first - 8, first + 1],
			[first + 1, last + 1],
			[last, last + 1],
			[last + 1, last + 8],
		];
		const next = sites.sorted[1]!.ip;
		expect(ranges.map(([start, end]) => sites.firstIn(start!, end!))).toEqual([0, first, next, last, 0]);
		const ops = tracer("t", () => {});
		expect(machine.ftrace.ftrace_set_filter_ip(ops, machine.addr("untraced"), false)).toBe(EINVAL);
	});
	test("[rule 6.9] [rule 7.1] a single ops: the site calls its trampoline: ip, parent ip, ops, registers", () => {
		const seen: unknown[] = [];
		const task = machine.task("t", "untraced");
		const ops = tracer("t", (ip, parent_ip, address, fregs) => {
			const { memory, sched } = machine.it;
			const rdi = memory.u64((fregs + PT_REGS.RDI) | 0);
			const rip = toKaddr(memory.u64((fregs + PT_REGS.RIP) | 0));
			const cs = memory.u64((fregs + PT_REGS.CS) | 0);
			seen.push([sched.current.comm, ip, machine.it.symbolize(parent_ip), address, rdi, rip, cs]);
		});
		expect(register(ops, "funcA")).toBe(0);
		const site = machine.site("funcA");
		expect(callee(site)).toBe(ops.trampoline);
		expect(machine.call(task, "funcC")).toBe(meaning.funcA(task.pid) + meaning.funcB(task.pid + 1, task.pid));
		const parent = expect.stringMatching(/^funcC\+0x/);
		expect(seen).toEqual([["t", site, parent, ops.address, BigInt(task.pid), (site + 5) | 0, 0n]]);
		expect(unregister(ops)).toBe(0);
		expect(callee(site)).toBeUndefined();
		machine.call(task, "funcA");
		expect(seen).toHaveLength(1);
	});
	test("[rule 6.8] [rule 6.10] two ops on one record: ftrace_caller and the list function, newest first", () => {
		const order: string[] = [];
		const task = machine.task("t", "untraced");
		const [first, second] = ["first", "second"].map((name) => tracer(name, () => order.push(name)));
		register(first!, "funcA", "funcB");
		register(second!, "funcA");
		expect(record("funcA")).toMatchObject({ count: 2 });
		expect([callee(machine.site("funcA")) === first!.trampoline, callee(machine.site("funcB"))]).toEqual([
			false,
			first!.trampoline,
		]);
		machine.call(task, "funcA");
		expect(order).toEqual(["second", "first"]);
		machine.call(task, "funcB");
		expect(order).toEqual(["second", "first", "first"]);
		unregister(first!);
		expect(callee(machine.site("funcA"))).toBe(second!.trampoline);
		unregister(second!);
		expect([record("funcA").count, record("funcA").flags]).toEqual([0, 0]);
	});
	test("[rule 6.8] the oldest writer of the ip wins, because it is called last", () => {
		const task = machine.task("t", "untraced");
		machine.insmodPlain("lp1", "lp1");
		machine.insmodPlain("lp2", "lp2");
		const to = (func: string) =>
			tracer(func, (_ip, _parent, _ops, fregs) => {
				machine.it.memory.setKaddr((fregs + PT_REGS.RIP) | 0, machine.addr(func));
			});
		register(to("lp1_funcA"), "funcA");
		register(to("lp2_funcA"), "funcA");
		expect(machine.call(task, "funcA")).toBe(meaning.funcA(task.pid, 1100));
	});
	test("[rule 7.3] SAVE_REGS: a full pt_regs with the flags and callee-saved registers, which it may change", () => {
		const task = machine.task("t", "untraced");
		const regs: bigint[] = [];
		const ops = tracer(
			"t",
			(_ip, _parent, _ops, fregs) => {
				const { memory } = machine.it;
				for (const slot of [PT_REGS.CS, PT_REGS.SS, PT_REGS.ORIG_RAX]) regs.push(memory.u64((fregs + slot) | 0));
				// funcC keeps its argument in a callee-saved register meanwhile.
				memory.setU64((fregs + PT_REGS.RDI) | 0, 3n);
			},
			DYNAMIC | SAVE_REGS,
		);
		register(ops, "funcA");
		expect(record("funcA").flags & FTRACE_FL.REGS_EN).not.toBe(0);
		expect(machine.call(task, "funcA")).toBe(meaning.funcA(3));
		expect(regs).toEqual([16n, 24n, 0n]);
	});
});

test("a site that holds no call of __fentry__ is refused, with the bytes that it holds", async () => {
	const edit = (object: Uint8Array) => {
		object[Buffer.from(object).indexOf(Buffer.from([0xe8, 0, 0, 0, 0]))] = 0x90;
	};
	await expect(createTestMachine({ edit })).rejects.toMatchObject({
		code: "FTRACE_BAD_SITE",
		message: expect.stringMatching(/^'vmlinux' has no fentry call at 0x[0-9a-f]+ but 90( [0-9a-f]{2}){4}/),
	});
});

describe("trampolines", () => {
	test("[rule 7.5] are copies of ftrace_caller, except the ops pointer and the call, then a ret and the ops", () => {
		const ops = tracer("t", () => {});
		register(ops, "funcA");
		const trampoline = machine.ftrace.trampolines.live.get(ops.trampoline)!;
		const size = trampoline.size - 10;
		const copy = machine.it.memory.read(ops.trampoline, trampoline.size);
		const template = machine.it.memory.read(trampoline.template, size);
		const differs = [...template.keys()].filter((index) => template[index] !== copy[index]);
		// movq disp32(%rip), %rdx is 48 8b 15 disp32.
		const opPtr = Buffer.from(copy).indexOf(Buffer.from([0x48, 0x8b, 0x15]));
		const view = new DataView(copy.buffer);
		expect(opPtr + 7 + view.getInt32(opPtr + 3, true)).toBe(size + 2);
		expect(view.getBigInt64(size + 2, true)).toBe(BigInt(ops.address));
		const call = differs.filter((index) => index > opPtr + 7)[0]! & ~0;
		const callStart = [call - 1, call - 2, call - 3, call - 4].find((index) => copy[index] === 0xe8)!;
		expect((ops.trampoline + callStart + 5 + view.getInt32(callStart + 1, true)) | 0).toBe(gate("ftrace_host_func"));
		const changed = new Set([...range(opPtr + 3, 4), ...range(callStart + 1, 4)]);
		expect(differs.filter((index) => !changed.has(index))).toEqual([]);
		expect([copy[size], copy[size + 1]]).toEqual([0xc3, 0xcc]);
	});
	test("[rule 7.4] those with SAVE_REGS are longer, and their jump to a direct call is a nop", () => {
		const [plain, full] = [tracer("p", () => {}), tracer("f", () => {}, DYNAMIC | SAVE_REGS)];
		register(plain, "funcA");
		register(full, "funcB");
		expect(full.trampoline_size).toBeGreaterThan(plain.trampoline_size);
		const copy = Buffer.from(machine.it.memory.read(full.trampoline, full.trampoline_size));
		expect(copy.indexOf(Buffer.from([0x48, 0x85, 0xc0, 0x66, 0x90]))).toBeGreaterThan(0);
	});
	test("[rule 7.5] [rule 6.13] are read-only and executable, and unmapped with their ops", () => {
		const ops = tracer("t", () => {});
		register(ops, "funcA");
		const { trampoline } = ops;
		expect(machine.it.memory.permissions(trampoline)).toBe(5);
		unregister(ops);
		expect([machine.it.memory.permissions(trampoline), ops.trampoline, ops.address]).toEqual([0, 0, 0]);
	});
	test("an address belongs to one from its first byte to its last; the call divides it", () => {
		const { trampolines, templates } = machine.ftrace;
		const ops = tracer("t", () => {});
		register(ops, "funcA");
		const trampoline = trampolines.live.get(ops.trampoline)!;
		const { address, size, template } = trampoline;
		const found = [-1, 0, size - 1, size, 4095].map((at) => trampolines.containing((address + at) | 0));
		expect(found).toEqual([undefined, trampoline, trampoline, undefined, undefined]);
		const { ftrace_call, ftrace_caller_end, ftrace_regs_call, ftrace_regs_caller_end } = templates;
		for (const [call, end] of [
			[ftrace_call, ftrace_caller_end],
			[ftrace_regs_call, ftrace_regs_caller_end],
		] as const) {
			const behind = [call, call + 5, end - 1, end].map((at) => trampolines.isBehindCall(at));
			expect(behind).toEqual([false, true, true, false]);
		}
		const copied = [ftrace_call, ftrace_call + 5, address - 1].map((at) => (at - template + address) | 0);
		expect(copied.map((at) => trampolines.isBehindCall(at))).toEqual([false, true, false]);
	});
	test("[rule 6.13] are freed only when no task is on them", () => {
		const ops = tracer("t", () => {});
		register(ops, "funcA");
		const { trampoline } = ops;
		const task = machine.task("t", "funcA");
		machine.task("other", "funcB");
		// Preempted on the trampoline: it may stay there for as long as it pleases.
		const onTrampoline = () => {
			const rip = toKaddr(task.regs.rip);
			return task.on_cpu < 0 && task.mode === "kernel" && rip >= trampoline && rip < trampoline + 4096;
		};
		machine.until(onTrampoline);
		const code = machine.ftrace.unregister_ftrace_function(ops);
		let step = code.next();
		while (!step.done && isReady(step.value)) step = code.next();
		expect(step.done).toBe(false);
		expect(step.value).toMatchObject({ label: expect.stringContaining("synchronize_rcu_tasks") });
		expect(onTrampoline()).toBe(true);
		expect((step.value as { ready(): boolean }).ready()).toBe(false);
		expect(machine.it.memory.permissions(trampoline)).toBe(5);
		machine.until(() => (step.value as { ready(): boolean }).ready());
		expect(runStraight(code)).toBe(0);
		expect(machine.it.memory.permissions(trampoline)).toBe(0);
		machine.rounds(50);
		expect(task.oops).toBeUndefined();
	});
});

function range(start: number, length: number): number[] {
	return Array.from({ length }, (_, index) => start + index);
}

describe("text_poke", () => {
	/** Drives code by hand up to each phase, and lets a task call funcA in it. */
	function* phases(code: Kernel<number>): Generator<[string, number[], number], void, void> {
		const task = machine.it.sched.find("t") ?? machine.task("t", "untraced");
		for (let step = code.next(); !step.done; step = code.next()) {
			if (!isReady(step.value)) throw new Error("waits");
			if (labelOf(step.value).startsWith("text_poke")) {
				const bytes = bytesAt(machine.site("funcA"));
				yield [labelOf(step.value), bytes, machine.call(task, "funcA")];
			}
		}
	}

	test("[rule 8.2] [rule 8.3] int3, the tail, then the first byte; a task at the int3 gets the new code", () => {
		let calls = 0;
		const ops = tracer("t", () => calls++);
		machine.ftrace.ftrace_set_filter_ip(ops, machine.site("funcA"), false);
		const log: [string, number[], number][] = [];
		const { pid } = machine.task("t", "untraced");
		const result = meaning.funcA(pid);
		// The first three change ftrace_caller itself, so that the site is a nop all the while.
		for (const [phase, bytes, value] of phases(machine.ftrace.register_ftrace_function(ops))) {
			log.push([phase.replace("text_poke_bp_batch: ", ""), bytes, calls]);
			expect(value).toBe(result);
		}
		const site = machine.site("funcA");
		const call = [...ftrace_call_replace(site, ops.trampoline)];
		expect(log.slice(-3)).toEqual([
			["int3 written", [0xcc, ...NOP5.slice(1)], 1],
			["tail written", [0xcc, ...call.slice(1)], 2],
			["first byte written", call, 3],
		]);
		expect(log.slice(0, -3).map(([, bytes, count]) => [bytes, count])).toEqual(
			log.slice(0, -3).map(() => [[...NOP5], 0]),
		);
		log.length = 0;
		for (const [phase, bytes, value] of phases(machine.ftrace.unregister_ftrace_function(ops))) {
			log.push([phase.replace("text_poke_bp_batch: ", ""), bytes, calls]);
			expect(value).toBe(result);
		}
		// From the int3 on nobody is called; after the site, ftrace_caller is changed.
		expect(log.slice(0, 3)).toEqual([
			["int3 written", [0xcc, ...call.slice(1)], 3],
			["tail written", [0xcc, ...NOP5.slice(1)], 3],
			["first byte written", [...NOP5], 3],
		]);
		expect(log.slice(3).map(([phase]) => phase)).toEqual(log.slice(3).map((_, i) => log[i % 3]![0]));
		expect(log).toHaveLength(9);
		expect(machine.dmesg("Oops")).toEqual([]);
	});
	test("[rule 8.4] an int3 without a text poke is an oops", () => {
		const site = machine.site("funcA");
		machine.it.memory.setU8(site, 0xcc);
		machine.it.cpu.textChanged(site, 1);
		const task = machine.task("t", "funcA");
		machine.until(() => task.oops !== undefined);
		expect(task.oops).toBe("Oops: int3: 0000 at funcA+0x0");
	});

	/** TextPoke alone, with a log of what it writes. */
	function alone() {
		const writes: [Kaddr, number][] = [];
		const poke = new TextPoke(machine.it.memory, {
			flush_icache_range: (address: Kaddr, length: number) => writes.push([address, length]),
		} as unknown as Icache);
		return { poke, writes };
	}
	const drive = (code: Kernel<void>) => {
		const labels: string[] = [];
		runStraight(code, (label) => labels.push(label.replace("text_poke_bp_batch: ", "")));
		return labels;
	};
	const sites = () => [...machine.ftrace.records.keys()].sort((a, b) => a - b);

	test("[rule 8.2] a batch is written phase by phase, not place by place", () => {
		const { poke, writes } = alone();
		const [a, b] = sites() as [Kaddr, Kaddr];
		const ret = ftrace_call_replace(a, b);
		expect([drive(poke.text_poke_queue(a, ret)), drive(poke.text_poke_queue(b, ret))]).toEqual([[], []]);
		expect(drive(poke.text_poke_finish())).toEqual(["int3 written", "tail written", "first byte written"]);
		expect(writes).toEqual([
			...[
				[a, 1],
				[b, 1],
				[a + 1, 4],
				[b + 1, 4],
				[a, 1],
				[b, 1],
			],
		]);
		expect(drive(poke.text_poke_finish())).toEqual([]);
	});
	test("[rule 8.1] an address that is not above the last flushes first; so does the 257th", () => {
		const { poke } = alone();
		const [a, b] = sites() as [Kaddr, Kaddr];
		drive(poke.text_poke_queue(b, NOP5));
		expect(drive(poke.text_poke_queue(a, NOP5))).toHaveLength(3);
		expect(drive(poke.text_poke_finish())).toHaveLength(3);
		machine.it.memory.map("room", -0x50000000, 4096, 5);
		for (let i = 0; i < 256; i++) expect(drive(poke.text_poke_queue(-0x50000000 + 8 * i, NOP5))).toEqual([]);
		expect(drive(poke.text_poke_queue(-0x50000000 + 8 * 256, NOP5))).toHaveLength(3);
		expect(drive(poke.text_poke_finish())).toHaveLength(3);
	});
	test("[rule 8.3] int3 emulation: a call pushes the address behind it, a jump and a nop do not", () => {
		const { poke } = alone();
		const { state, memory } = { state: machine.it.cpu.state, memory: machine.it.memory };
		const stack = memory.map("stack", -0x30000000, 4096, 3);
		const [site, target] = sites() as [Kaddr, Kaddr];
		const hit = (insn: Uint8Array, emulate = insn) => {
			const code = poke.text_poke_bp(site, insn, emulate);
			code.next();
			state.rip = BigInt.asUintN(64, BigInt(site));
			state.setKaddr(4, -0x30000000 + 4096);
			expect(poke.poke_int3_handler(state)).toBe(true);
			const pushed = state.kaddr(4) === -0x30000000 + 4096 ? undefined : toKaddr(memory.u64(state.kaddr(4)));
			const went = toKaddr(state.rip);
			runStraight(code);
			state.rip = BigInt.asUintN(64, BigInt(site));
			expect(poke.poke_int3_handler(state)).toBe(false);
			return [went, pushed];
		};
		const call = ftrace_call_replace(site, target);
		expect(hit(call)).toEqual([target, (site + 5) | 0]);
		// cs cs cs xor %eax, %eax has no emulation: a static call makes the call that it stands for.
		const xor5rax = Uint8Array.of(0x2e, 0x2e, 0x2e, 0x31, 0xc0);
		expect(hit(xor5rax, call)).toEqual([target, (site + 5) | 0]);
		expect(memory.read(site, 5)).toEqual(xor5rax);
		expect(hit(Uint8Array.of(0xe9, ...call.slice(1)))).toEqual([target, undefined]);
		expect(hit(NOP5)).toEqual([(site + 5) | 0, undefined]);
		expect(hit(Uint8Array.of(0x66, 0x90))).toEqual([(site + 2) | 0, undefined]);
		// A jump in a longer place, with int3 behind it.
		expect(hit(Uint8Array.of(0xeb, 0x10, 0xcc, 0xcc, 0xcc))).toEqual([(site + 2 + 0x10) | 0, undefined]);
		memory.setKaddr(-0x30000000 + 4096 - 8, target);
		const code = poke.text_poke_bp(site, Uint8Array.of(0xc3, 0xcc, 0xcc, 0xcc, 0xcc));
		code.next();
		state.rip = BigInt.asUintN(64, BigInt(site));
		state.setKaddr(4, -0x30000000 + 4096 - 8);
		expect(poke.poke_int3_handler(state)).toBe(true);
		expect([toKaddr(state.rip), state.kaddr(4)]).toEqual([target, -0x30000000 + 4096]);
		runStraight(code);
		memory.unmap(stack);
	});
	test("[rule 8.3] int3 emulation of Jcc, short and near: as the processor, for all conditions and flags", () => {
		const { poke } = alone();
		const { state, memory } = { state: machine.it.cpu.state, memory: machine.it.memory };
		const code = memory.map("jcc", -0x30000000, 4096, 5);
		const at = -0x30000000;
		for (let cc = 0; cc < 16; cc++) {
			for (const insn of [Uint8Array.of(0x70 + cc, 0x20), Uint8Array.of(0x0f, 0x80 + cc, 0x20, 0, 0, 0)]) {
				for (let flags = 0; flags < 32; flags++) {
					const bits = [0x1, 0x4, 0x40, 0x80, 0x800].filter((_, bit) => flags & (1 << bit));
					state.rflags = BigInt(2 | bits.reduce((a, b) => a | b, 0));
					const start = () => {
						state.rip = BigInt.asUintN(64, BigInt(at));
					};
					memory.write(at, insn);
					machine.it.cpu.textChanged(at, insn.length);
					start();
					machine.it.cpu.run(1);
					const truth = toKaddr(state.rip);
					const poking = poke.text_poke_bp(at, insn);
					poking.next();
					start();
					expect([cc, flags, poke.poke_int3_handler(state), toKaddr(state.rip)]).toEqual([cc, flags, true, truth]);
					runStraight(poking);
				}
			}
		}
		memory.unmap(code);
	});
	test("[rule 8.4] a written int3 is not emulated; an instruction without emulation is refused", () => {
		const { poke } = alone();
		const { state } = machine.it.cpu;
		const [site] = sites() as [Kaddr];
		const code = poke.text_poke_bp(site, Uint8Array.of(0xcc));
		code.next();
		state.rip = BigInt.asUintN(64, BigInt(site));
		expect(poke.poke_int3_handler(state)).toBe(false);
		runStraight(code);
		for (const bytes of [[0x90], [0x48, 0x89, 0xe5], [0xe8, 1, 2, 3, 4, 0xcc], [0xc3, 0x90]]) {
			expect(() => poke.text_poke_bp(site, Uint8Array.from(bytes)).next()).toThrow(/no emulation of/);
		}
	});
});

describe("IPMODIFY", () => {
	const modifier = (name: string) => tracer(name, () => {}, DYNAMIC | IPMODIFY);

	test("[rule 6.1] one per record: -EBUSY, and the records before the conflict are free again", () => {
		const [one, two] = [modifier("one"), modifier("two")];
		expect(register(one, "funcB")).toBe(0);
		expect(register(two, "funcA", "funcB", "funcC")).toBe(EBUSY);
		expect(["funcA", "funcB", "funcC"].map((func) => record(func).flags & FTRACE_FL.IPMODIFY)).toEqual([
			0,
			FTRACE_FL.IPMODIFY,
			0,
		]);
		expect([two.flags & FTRACE_OPS_FL.ENABLED, two.trampoline, two.address]).toEqual([0, 0, 0]);
		expect([...machine.ftrace.ftrace_ops_list]).toEqual([one]);
		expect(machine.ftrace.trampolines.live.size).toBe(1);
		expect(unregister(one)).toBe(0);
		expect(register(two)).toBe(0);
	});
	test("[rule 6.2] an empty filter: -EINVAL", () => {
		expect(register(modifier("one"))).toBe(EINVAL);
		expect(machine.ftrace.trampolines.live.size).toBe(0);
	});
	test("a tracer without it may share the record, and is called first", () => {
		const order: string[] = [];
		register(
			tracer("ipmodify", () => order.push("ipmodify"), DYNAMIC | IPMODIFY),
			"funcA",
		);
		expect(
			register(
				tracer("plain", () => order.push("plain")),
				"funcA",
			),
		).toBe(0);
		machine.call(machine.task("t", "untraced"), "funcA");
		expect(order).toEqual(["plain", "ipmodify"]);
	});
	test("a livepatch on a record with an IPMODIFY ops: -EBUSY, with the kernel's message", () => {
		register(modifier("kprobe"), "funcA");
		expect(machine.patch("lp1", ["funcB", "lp1_funcA"], ["funcA", "lp1_funcA"])).toBe(EBUSY);
		expect(machine.dmesg("failed")).toEqual([
			"livepatch: failed to register ftrace handler for function 'funcA' (-16)",
			"livepatch: failed to patch object 'vmlinux'",
			"livepatch: failed to enable patch 'lp1'",
		]);
		expect([record("funcB").flags, callee(machine.site("funcB"))]).toEqual([0, undefined]);
	});
	test("a livepatch and a tracer on one function: both are called, in either order", () => {
		const task = machine.task("t", "untraced");
		let traced = 0;
		const ops = tracer("t", () => traced++);
		register(ops, "funcA");
		machine.patch("lp1", ["funcA", "lp1_funcA"]);
		machine.settle();
		expect([machine.call(task, "funcA"), traced]).toEqual([meaning.funcA(task.pid, 1100), 1]);
		unregister(ops);
		expect([machine.call(task, "funcA"), traced]).toEqual([meaning.funcA(task.pid, 1100), 1]);
		register(ops, "funcA");
		expect([machine.call(task, "funcA"), traced]).toEqual([meaning.funcA(task.pid, 1100), 2]);
		machine.echo("0", "lp1/enabled");
		machine.settle();
		expect([machine.call(task, "funcA"), traced]).toEqual([meaning.funcA(task.pid), 3]);
	});
});

describe("ftrace_enabled", () => {
	const sysctl = (value: boolean) => run(machine.ftrace.ftrace_enable_sysctl(value));

	test("0 turns calls into nops, 1 brings them back as they were: through the own trampoline", () => {
		let calls = 0;
		const task = machine.task("t", "untraced");
		const ops = tracer("t", () => calls++);
		register(ops, "funcA");
		const before = { ...record("funcA") };
		expect(sysctl(false)).toBe(0);
		expect([callee(machine.site("funcA")), record("funcA").count]).toEqual([undefined, 1]);
		machine.call(task, "funcA");
		expect(calls).toBe(0);
		expect(sysctl(true)).toBe(0);
		expect(callee(machine.site("funcA"))).toBe(ops.trampoline);
		expect(record("funcA")).toEqual(before);
		machine.call(task, "funcA");
		expect(calls).toBe(1);
	});
	test("an ops that is registered while it is 0 works from 1 on", () => {
		let calls = 0;
		const task = machine.task("t", "untraced");
		sysctl(false);
		const ops = tracer("t", () => calls++);
		expect(register(ops, "funcA")).toBe(0);
		machine.call(task, "funcA");
		sysctl(true);
		machine.call(task, "funcA");
		expect(calls).toBe(1);
		expect(unregister(ops)).toBe(0);
		expect(callee(machine.site("funcA"))).toBeUndefined();
	});
	test("[rule 6.6] [rule 6.7] PERMANENT: writing 0 is -EBUSY while it is registered; refused while 0", () => {
		const ops = tracer("p", () => {}, DYNAMIC | PERMANENT);
		register(ops, "funcA");
		expect([sysctl(false), machine.ftrace.ftrace_enabled]).toEqual([EBUSY, true]);
		expect(sysctl(true)).toBe(0);
		unregister(ops);
		expect(sysctl(false)).toBe(0);
		expect(register(ops, "funcA")).toBe(EBUSY);
		expect([ops.address, ops.trampoline]).toEqual([0, 0]);
	});
});

describe("ftrace_bug", () => {
	test("[rule 8.6] bytes that must not be there: ftrace says so, leaves them, and is out of order for good", () => {
		const site = machine.site("funcA");
		machine.it.memory.write(site, Uint8Array.of(0x66, 0x90, 0x0f, 0x1f, 0));
		machine.it.cpu.textChanged(site, 5);
		const other = tracer("o", () => {});
		register(other, "funcB");
		expect(
			register(
				tracer("t", () => {}),
				"funcA",
			),
		).toBe(ENODEV);
		expect(bytesAt(site)).toEqual([0x66, 0x90, 0x0f, 0x1f, 0]);
		expect(machine.dmesg("ftrace")).toEqual([
			"WARNING: ftrace_bug",
			`ftrace: ftrace failed to modify [<0x${(site >>> 0).toString(16).padStart(16, "f")}>] actual: 66:90:0f:1f:00`,
		]);
		expect([...machine.ftrace.ftrace_ops_list]).toEqual([other]);
		expect([
			register(
				tracer("u", () => {}),
				"funcC",
			),
			unregister(other),
		]).toEqual([ENODEV, ENODEV]);
		expect(run(machine.ftrace.ftrace_enable_sysctl(false))).toBe(ENODEV);
	});
	test("a livepatch is refused then", () => {
		const site = machine.site("funcA");
		machine.it.memory.setU8(site, 0x90);
		machine.it.cpu.textChanged(site, 1);
		expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(ENODEV);
		expect([machine.func_stack("funcA"), machine.klp.klp_patches]).toEqual([[], []]);
	});
});
