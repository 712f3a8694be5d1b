/** Page permissions that change under a running Cpu, and the end of a Cpu. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { RAX, RDI } from "../../../src/cpu/index.js";
import type { UnicornCpu } from "../../../src/cpu/unicorn/index.js";
import { type Kaddr, Memory, PERM, type Region } from "../../../src/memory/index.js";
import { createUnicornCpu } from "../../../src/node/unicorn/index.js";

const TEXT: Kaddr = -0x7f000000;
const DATA: Kaddr = -0x7e000000;
const TEXT64 = 0xffffffff81000000n;
const DATA64 = 0xffffffff82000000n;

let memory: Memory;
let cpu: UnicornCpu;
let data: Region;
beforeEach(async () => {
	memory = new Memory({ bytes: 1 << 20 });
	memory.map("text", TEXT, 4096, PERM.READ | PERM.EXEC);
	data = memory.map("data", DATA, 4096, PERM.READ | PERM.WRITE);
	// mov rax, [rdi]; inc rax; mov [rdi], rax; jmp back
	memory.write(TEXT, Uint8Array.from(Buffer.from("488b0748ffc0488907ebf5", "hex")));
	cpu = await createUnicornCpu(memory);
	cpu.state.rip = TEXT64;
	cpu.state.words[RDI] = DATA64;
});
afterEach(() => cpu.close());

test("a write to read-only data faults without a trace, and succeeds once the page is writable", () => {
	expect(cpu.run(8)).toEqual({ kind: "budget", executed: 8 });
	memory.protect(data, PERM.READ);
	expect(cpu.run(100)).toEqual({
		kind: "fault",
		executed: 2,
		fault: { kind: "page-fault", address: DATA64, access: "write" },
	});
	expect([cpu.state.rip, cpu.state.words[RAX], memory.u64(DATA)]).toEqual([TEXT64 + 6n, 3n, 2n]);
	memory.protect(data, PERM.READ | PERM.WRITE);
	expect(cpu.run(2)).toEqual({ kind: "budget", executed: 2 });
	expect(memory.u64(DATA)).toBe(3n);
});

test("data that goes faults as a read of nothing; mapped again, it is zero", () => {
	cpu.run(4);
	memory.unmap(data);
	expect(cpu.run(100)).toMatchObject({ executed: 0, fault: { address: DATA64, access: "read" } });
	memory.map("new", DATA, 4096, PERM.READ | PERM.WRITE);
	expect(cpu.run(4)).toEqual({ kind: "budget", executed: 4 });
	expect(memory.u64(DATA)).toBe(1n);
});

test("data becomes executable only when it is made so", () => {
	memory.write(DATA, Uint8Array.of(0x90, 0x90));
	cpu.state.rip = DATA64;
	expect(cpu.run(2)).toMatchObject({ executed: 0, fault: { address: DATA64, access: "fetch" } });
	memory.protect(data, PERM.READ | PERM.EXEC);
	expect(cpu.run(2)).toEqual({ kind: "budget", executed: 2 });
});

test("an access over the end of a region faults at the first byte that is missing", () => {
	cpu.state.words[RDI] = DATA64 + 4092n;
	const stop = cpu.run(10);
	expect(stop).toMatchObject({
		kind: "fault",
		executed: 0,
		fault: { kind: "page-fault", access: "read", address: DATA64 + 4096n },
	});
	expect(cpu.state.rip).toBe(TEXT64);
});

test("two Cpus on one memory see the same; closing one, twice even, leaves the other", async () => {
	const other = await createUnicornCpu(memory);
	other.state.rip = TEXT64;
	other.state.words[RDI] = DATA64;
	for (const each of [cpu, other, cpu, other]) each.run(4);
	expect(memory.u64(DATA)).toBe(4n);
	other.close();
	other.close();
	memory.unmap(memory.map("later", DATA + 0x10000, 4096, PERM.READ));
	cpu.run(4);
	expect(memory.u64(DATA)).toBe(5n);
});
