import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { assemble } from "../../src/assemble/index.js";
import { type Cpu, GatePage, RAX, RDI, RSP } from "../../src/cpu/index.js";
import { type Image, linkImage, parseElf, type UnwindRow } from "../../src/elf/index.js";
import { type StackTrace, stack_trace_save_tsk_reliable } from "../../src/linux/sched/index.js";
import { type Kaddr, Memory, PERM, toKaddr, toU64 } from "../../src/memory/index.js";
import { loadKeystone } from "../../src/node/index.js";
import { createUnicornCpu } from "../../src/node/unicorn/index.js";

const AT = { entry: -0x7fff0000, ftrace: -0x7ffe0000, gates: -0x7ffd0000, data: -0x7ff00000 };
const VMLINUX = -0x7f000000;
const MODULE = -0x60000000;
const STACK = -0x40000000;
const STACK_SIZE = 16384;
/** Slots of pt_regs. */
const ORIG_RAX = 120;
const RIP = 128;

const ENTRY = "entry:\nUNWIND_HINT undefined\n\tcall funcA\ndone:\n\tud2\n";
const file = (path: string) => readFileSync(new URL(`../../asm/${path}`, import.meta.url));

const keystone = await loadKeystone();
let cpu: Cpu | undefined;
afterEach(() => cpu?.close());

interface Setup {
	readonly ibt: boolean;
	readonly trampoline: "ftrace_caller" | "ftrace_regs_caller";
	/** What the call-back does with pt_regs. */
	readonly handler: (memory: Memory, fregs: Kaddr, redirected: Kaddr) => void;
}

/** A task that calls funcA through its traced site. */
async function traced({ ibt, trampoline, handler }: Setup) {
	const memory = new Memory({ bytes: 1 << 20 });
	cpu = await createUnicornCpu(memory);
	const gates = new GatePage(memory, cpu, AT.gates);
	memory.map("data", AT.data, 4096, PERM.READ | PERM.WRITE);
	const ftrace = assemble(keystone, file("ftrace_64.S").toString(), "ftrace_64.S", AT.ftrace, {
		function_trace_op: AT.data,
		ftrace_return_to_handler: AT.gates,
		arch_rethook_trampoline_callback: AT.gates,
	});
	const load = (path: string, base: Kaddr, resolve: (name: string) => Kaddr | undefined): Image => {
		const objects = [parseElf(file(`prebuilt/${path}${ibt ? ".ibt" : ""}.o`), path)];
		return linkImage({ name: path, objects, base, memory, resolve });
	};
	const fentry = ftrace.symbols.get("__fentry__")!;
	const vmlinux = load("vmlinux/funcs", VMLINUX, (name) => (name === "__fentry__" ? fentry : undefined));
	const lp2 = load("livepatches/lp2", MODULE, (name) =>
		name === "__fentry__" ? fentry : vmlinux.symbol(name)?.address,
	);
	const funcA = vmlinux.symbol("funcA")!.address;
	const redirected = lp2.symbol("lp2_funcA")!.address;
	const entry = assemble(keystone, ENTRY, "entry.S", AT.entry, { funcA });
	for (const code of [ftrace, entry]) {
		memory.map("asm", code.base, 4096, PERM.READ | PERM.EXEC);
		memory.write(code.base, code.bytes);
	}
	const gate = gates.add({
		name: "handler",
		passes: "args",
		call: (_ip, _parent, _ops, fregs) => {
			handler(memory, fregs, redirected);
			return false;
		},
	});
	const site = vmlinux.mcountLocs.find((loc) => loc >= funcA)!;
	const call = (from: Kaddr, to: Kaddr) => memory.setU32(from + 1, to - (from + 5));
	call(site, ftrace.symbols.get(trampoline)!);
	call(ftrace.symbols.get(trampoline === "ftrace_caller" ? "ftrace_call" : "ftrace_regs_call")!, gate);
	memory.map("stack", STACK, STACK_SIZE, PERM.READ | PERM.WRITE);
	const findRow = (ip: Kaddr): UnwindRow | undefined => {
		for (const code of [ftrace, entry]) {
			if (ip >= code.base && ip < code.base + code.bytes.length) return code.hints.row(ip - code.base);
		}
		if (gates.nameAt(ip) !== undefined) return ftrace.hints.row(0);
		return vmlinux.findRow(ip) ?? lp2.findRow(ip);
	};
	const { state } = cpu;
	state.rip = toU64(entry.base);
	state.setKaddr(RSP, STACK + STACK_SIZE);
	state.words[RDI] = 5n;
	const trace = (): StackTrace =>
		stack_trace_save_tsk_reliable(state, {
			memory,
			low: STACK,
			high: STACK + STACK_SIZE,
			findRow,
			recover: (ret) => ret,
		});
	return { memory, cpu, trace, done: entry.symbols.get("done")!, site, redirected, gate };
}

/**
 * Runs to the end one instruction at a time. `visit` gets, before each, what the unwinder says, and what really is on the
 * stack: the words that calls have pushed and no ret has popped yet, as they stand now.
 */
async function run(
	setup: Setup,
	visit: (trace: StackTrace, real: Kaddr[], machine: Awaited<ReturnType<typeof traced>>) => void,
): Promise<{ result: bigint; steps: number }> {
	const machine = await traced(setup);
	const { memory, cpu } = machine;
	const slots: Kaddr[] = [];
	let steps = 0;
	for (; toKaddr(cpu.state.rip) !== machine.done; steps++) {
		const rip = toKaddr(cpu.state.rip);
		visit(machine.trace(), [rip, ...slots.map((slot) => memory.kaddr(slot)).reverse()], machine);
		const opcode = memory.u8(rip);
		cpu.run(1);
		if (opcode === 0xe8) slots.push(cpu.state.kaddr(RSP));
		else if (opcode === 0xc3) slots.pop();
		expect(steps).toBeLessThan(1000);
	}
	expect(slots).toEqual([]);
	expect(cpu.state.kaddr(RSP)).toBe(STACK + STACK_SIZE);
	return { result: cpu.state.words[RAX]!, steps };
}

const redirect: Setup["handler"] = (memory, fregs, redirected) => memory.setKaddr(fregs + RIP, redirected);

describe("the unwinder at every instruction of a traced call", () => {
	for (const ibt of [false, true]) {
		for (const trampoline of ["ftrace_caller", "ftrace_regs_caller"] as const) {
			it(`through ${trampoline}, ${ibt ? "with" : "without"} endbr64: redirected`, async () => {
				const seen = new Set<Kaddr>();
				const { result } = await run({ ibt, trampoline, handler: redirect }, (trace, real, { redirected }) => {
					expect(trace).toMatchObject({ reliable: true, entries: real });
					if (trace.entries.includes(redirected)) seen.add(trace.entries[0]!);
				});
				// lp2_funcA(5), see asm/livepatches/lp2.c: 1000 * 5 + 2100 + weights 3 and 4.
				expect(result).toBe(7107n);
				// It shows as soon as it is the return address, while the trampoline still restores registers.
				expect(seen.size).toBeGreaterThan(10);
			});

			it(`through ${trampoline}, ${ibt ? "with" : "without"} endbr64: left as it is`, async () => {
				let inHandler: readonly Kaddr[] = [];
				const { result } = await run({ ibt, trampoline, handler: () => {} }, (trace, real, machine) => {
					expect(trace).toMatchObject({ reliable: true, entries: real });
					if (real[0] === machine.gate) inHandler = trace.entries.slice(2);
					if (real[0] === machine.gate) expect(inHandler).toEqual([machine.site + 5, machine.done]);
				});
				expect(result).toBe(5107n);
				expect(inHandler).toHaveLength(2);
			});
		}
	}

	it("through the direct call of ftrace_regs_caller: reliable all the way", async () => {
		let entered = 0;
		const handler: Setup["handler"] = (memory, fregs, direct) => memory.setKaddr(fregs + ORIG_RAX, direct);
		const machine = await traced({ ibt: false, trampoline: "ftrace_regs_caller", handler });
		for (let steps = 0; toKaddr(machine.cpu.state.rip) !== machine.done; steps++) {
			const trace = machine.trace();
			expect(trace.reliable).toBe(true);
			if (toKaddr(machine.cpu.state.rip) !== AT.entry) expect(trace.entries.at(-1)).toBe(machine.done);
			if (trace.entries[0] === machine.redirected) {
				entered++;
				expect(trace.entries).toEqual([machine.redirected, machine.site + 5, machine.done]);
			}
			machine.cpu.run(1);
			expect(steps).toBeLessThan(1000);
		}
		expect(entered).toBe(1);
		expect(machine.cpu.state.kaddr(RSP)).toBe(STACK + STACK_SIZE);
	});
});
