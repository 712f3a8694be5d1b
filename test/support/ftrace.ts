/** Ops of all kinds for tests, and the guest code of asm/modules/tracers.c. */
import { expect } from "vitest";
import { parseElf } from "../../src/elf/index.js";
import { FTRACE_OPS_FL, type ftrace_func_t, ftrace_ops, NOP5 } from "../../src/linux/ftrace/index.js";
import type { Kernel } from "../../src/linux/lib/index.js";
import { LAYOUT } from "../../src/machine/index.js";
import type { Kaddr } from "../../src/memory/index.js";
import { objectBytes, type TestMachine } from "./machine.js";

/** A machine, its ftrace, and short ways to do things with it. */
export class FtraceTest {
	readonly machine: TestMachine;

	constructor(machine: TestMachine) {
		this.machine = machine;
	}

	/** Address of a gate: they are sixteen bytes apart. */
	gate(name: string): Kaddr {
		for (let address: Kaddr = LAYOUT.gates; address < LAYOUT.gates + 4096; address += 16) {
			if (this.machine.it.symbolize(address) === name) return address;
		}
		throw new Error(`no gate '${name}'`);
	}

	/** An ops with a call-back in TypeScript. */
	tracer(name: string, call: ftrace_func_t, flags: number = FTRACE_OPS_FL.DYNAMIC): ftrace_ops {
		return new ftrace_ops(name, undefined, this.gate("ftrace_host_func"), call, flags);
	}

	/** An ops whose call-back is a function of the guest. */
	guestTracer(func: string, flags: number = FTRACE_OPS_FL.DYNAMIC): ftrace_ops {
		return new ftrace_ops(func, undefined, this.machine.addr(func), undefined, flags);
	}

	run<T>(code: Kernel<T>): T {
		return this.machine.it.shell.run(code);
	}

	filter(ops: ftrace_ops, ...funcs: string[]): ftrace_ops {
		const { ftrace } = this.machine;
		for (const func of funcs) expect(ftrace.ftrace_set_filter_ip(ops, this.machine.site(func), false)).toBe(0);
		return ops;
	}
	register(ops: ftrace_ops, ...funcs: string[]): number {
		return this.run(this.machine.ftrace.register_ftrace_function(this.filter(ops, ...funcs)));
	}
	unregister(ops: ftrace_ops): number {
		return this.run(this.machine.ftrace.unregister_ftrace_function(ops));
	}

	record(func: string) {
		return this.machine.ftrace.records.get(this.machine.site(func))!;
	}

	/** Whom a site calls; undefined for a nop. */
	callee(site: Kaddr): Kaddr | undefined {
		const bytes = this.machine.it.memory.read(site, 5);
		if (bytes.every((byte, index) => byte === NOP5[index])) return undefined;
		expect(bytes[0]).toBe(0xe8);
		return (site + 5 + new DataView(bytes.buffer).getInt32(1, true)) | 0;
	}
	/** The same by name. */
	calls(func: string): string {
		const callee = this.callee(this.machine.site(func));
		return callee === undefined ? "nop" : this.machine.it.symbolize(callee);
	}

	/** Loads asm/modules/tracers.c. */
	async loadTracers(ibt = false): Promise<void> {
		const object = parseElf(await objectBytes("modules/tracers", ibt), "tracers.o");
		expect(this.machine.it.shell.insmod("tracers", [object])).toBe(0);
	}

	/** A variable of tracers.c or of vmlinux. */
	variable(name: string): number {
		return Number(this.machine.it.memory.u64(this.machine.addr(name)));
	}
}
