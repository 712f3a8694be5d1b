/** Static calls of a .ko: include/linux/static_call.h, as objtool leaves them. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CPU_NAMES } from "../../../src/node/index.js";
import { KO_LAYOUT, makeKo } from "../../support/ko.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";

/** `through` adds up what a call, a tail call and the trampoline itself return. */
const HEAD = `
extern u64 result[16];
u64 result[16];
void __static_call_update(void *key, void *tramp, void *func);
long __static_call_return0(void);
noinline long first(long x) { return x + 1; }
noinline long second(long x) { return x + 10; }
struct static_call_key { void *func; u64 type; } key = { first };
long tramp(long x), through(long x), tail(long x);
__asm__(".pushsection .text\\n.balign 16\\ntramp: .byte 0xe9\\n.long first - . - 4\\n.byte 0x0f, 0xb9, 0xcc\\n.balign 16\\n"
	"through: 1: call tramp\\nret\\n.balign 16\\ntail: 2: .byte 0xe9\\n.long tramp - . - 4\\n.balign 16\\n.popsection\\n"
	".pushsection .static_call_sites, \\"aw\\"\\n.balign 8\\n.long 1b - ., key - .\\n.long 2b - ., key + 1 - .\\n.popsection");
#define TAKE(i) (result[i] = 10000 * through(100) + 100 * tail(0) + tramp(0))
#define UPDATE(func) __static_call_update(&key, tramp, func)
`;
const module = (body: string) => `${HEAD}
static int lp_init(void) { ${body} return 0; }
static void lp_exit(void) { }
`;

describe.each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true, cpus: 2, kernelLayout: KO_LAYOUT });
	});
	afterEach(() => machine.close());
	const load = async (text: string) => machine.insmodC("ko", await makeKo("ko", text, { livepatch: false }));
	const results = (count: number) =>
		Array.from({ length: count }, (_, index) => machine.it.memory.u64((machine.addr("result") + 8 * index) | 0));

	test("__static_call_update() changes trampoline, calls and tail calls", async () => {
		expect(
			await load(module("TAKE(0); UPDATE(second); TAKE(1); UPDATE(second); TAKE(2); UPDATE(first); TAKE(3);")),
		).toBe(0);
		expect(results(4)).toEqual([1010101n, 1101010n, 1101010n, 1010101n]);
	});

	test("a call without a function does nothing, one of __static_call_return0() is 0", async () => {
		// rax is 7 before each: what a call that does nothing leaves.
		const seven = (what: string) =>
			`({ long r; __asm__ volatile("call ${what}" : "=a"(r) : "a"(7), "D"(5) : "memory", "cc"); r; })`;
		const take = (at: number) => `result[${at}] = 100 * ${seven("through")} + ${seven("tail")};`;
		const body = `UPDATE(0); ${take(0)} UPDATE(__static_call_return0); ${take(1)} UPDATE(first); ${take(2)}`;
		expect(await load(module(body))).toBe(0);
		expect(results(3)).toEqual([707n, 0n, 606n]);
		const site = machine.addr("through");
		expect(machine.it.memory.u8(site)).toBe(0xe8);
	});

	test.each([
		["no trampoline", "__static_call_update(&key, through, second);"],
		["a trampoline that has another instruction now", "__static_call_update(&key, first, second);"],
	])("%s is a BUG() of the task", async (_what, body) => {
		await expect(load(module(body))).rejects.toMatchObject({ code: "GUEST_OOPS" });
		expect(machine.dmesg("Oops").join()).toContain("invalid opcode");
	});
});
