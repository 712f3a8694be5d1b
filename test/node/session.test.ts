import { existsSync, readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { parseElf } from "../../src/elf/index.js";
import { kernelObjectOf } from "../../src/linux/module/index.js";
import { machine, type Session, type SessionOptions } from "../../src/node/index.js";
import { KERNEL_KO, NO_KERNEL_CORE, skipBecause } from "../support/skip.js";

const PRICE = "long price(long x) { return x * 10; }";
const CHEAPER = { c: "long lp_price(long x) { return x * 9; }", funcs: { price: "lp_price" } };

describe("machine(): a machine without a scenario file", () => {
	let session: Session | undefined;
	const start = async (options: SessionOptions) => {
		session = await machine(options);
		return session;
	};
	afterEach(() => session?.close());

	it("calls a function of C text, and the new one after a livepatch", async () => {
		const m = await start({ c: PRICE });
		expect(m.call("price", 10)).toBe(100n);
		expect(await m.livepatch(CHEAPER)).toBe("lp1");
		m.settle();
		expect(m.call("price", 10)).toBe(90n);
		expect(m.see()).toEqual({ price: "lp_price" });
		m.step({ disable: "lp1" });
		m.settle();
		expect(m.call("price", 10)).toBe(100n);
	});

	it("passes texts and bytes, and gives the changed bytes back", async () => {
		const m = await start({
			c: `#include <linux/string.h>
				long length(const char *s) { return strlen(s); }
				void twice(unsigned char *bytes, long n) { while (n--) bytes[n] *= 2; }`,
		});
		expect(m.call("length", "four")).toBe(4n);
		const bytes = Uint8Array.of(1, 2, 3);
		m.call("twice", bytes, 3);
		expect([...bytes]).toEqual([2, 4, 6]);
		expect(m.machine.heap.count).toBe(0);
	});

	it("reads and writes the guest's memory", async () => {
		const m = await start({ c: `char word[8] = "old"; char *get(void) { return word; }` });
		expect(m.string(m.address("word"))).toBe("old");
		m.write(m.address("word"), new TextEncoder().encode("new\0"));
		expect(m.string(m.call("get"))).toBe("new");
		const address = m.alloc(16);
		m.write(address, Uint8Array.of(7));
		expect([...m.read(address, 2)]).toEqual([7, 0]);
		m.free(address);
		expect(() => m.free(address)).toThrow(/nothing is allocated at 0xffffffff/);
		// An address outside of the kernel is not taken for one inside, by its lower half.
		const low = BigInt.asUintN(31, m.address("word"));
		expect(() => m.read(low, 4)).toThrow(/read at 0x/);
		expect(() => m.string(low)).toThrow(/read at 0x/);
		expect(() => m.write(low, Uint8Array.of(1))).toThrow(/at 0x/);
		expect(m.string(m.address("word"))).toBe("new");
		expect(() => m.address("wird")).toThrow(/no function or variable 'wird'/);
	});

	it("shows what each task runs during a transition", async () => {
		const m = await start({
			c: PRICE,
			tasks: { worker: { calls: ["price"] }, sleeper: { calls: ["price"], sleeps_in: "price" } },
		});
		m.step({ run: { task: "sleeper" } });
		await m.livepatch(CHEAPER);
		m.run(50);
		expect(m.inTransition).toBe(true);
		expect(m.state("sleeper")).toMatchObject({ patch_state: "UNPATCHED", in: "price", view: { price: "original" } });
		expect(m.see("worker")).toEqual({ price: "lp_price" });
		m.step({ wake: "sleeper" });
		m.settle();
		expect(m.see("sleeper")).toEqual({ price: "lp_price" });
		expect(m.report().verdict).toBe("consistent");
	});

	it("adds tasks, forks and modules, and knows which have ended", async () => {
		const m = await start({ c: PRICE });
		await m.module("shop", { c: "long tax(long x) { return x / 5; }" });
		await m.task("clerk", { calls: ["price", "tax"] });
		m.step({ fork: { parent: "clerk", child: "trainee", calls: ["tax"] } });
		m.run(5);
		expect(m.callAs("trainee", "tax", 100n)).toBe(20n);
		m.step({ exit: "trainee" });
		expect(() => m.step({ wake: "trainee" })).toThrow(/trainee/);
		expect(() => m.see("trainee")).toThrow(/no task 'trainee'/);
		await m.livepatch({
			name: "vat",
			c: "long lp_tax(long x) { return x / 4; }",
			objects: { shop: { tax: "lp_tax" } },
		});
		m.settle();
		expect(m.call("tax", 100)).toBe(25n);
	});

	it("refuses what the kernel refuses, with its messages, unless that is expected", async () => {
		const m = await start({ c: PRICE, tasks: { sleeper: { calls: ["price"], sleeps_in: "price" } } });
		m.step({ run: { task: "sleeper" } });
		await m.livepatch(CHEAPER);
		await expect(m.livepatch(CHEAPER)).rejects.toThrow(/insmod lp2: .*-EBUSY/s);
		expect(await m.livepatch({ ...CHEAPER, errno: "EBUSY" })).toBe("lp3");
		expect(m.call("price", 1)).toBe(9n);
	});

	it("names mistakes, and has changed nothing then", async () => {
		const m = await start({ c: PRICE });
		await expect(m.livepatch({ ...CHEAPER, funcs: { pric: "lp_price" } })).rejects.toThrow(/pric/);
		await expect(
			m.livepatch({ c: "long lp_price(long x) { return y; }", funcs: { price: "lp_price" } }),
		).rejects.toThrow(/^lp2.c: gcc does not compile 'lp2.c':\n.*\nlp2.c:1:\d+: error: 'y' undeclared/);
		await expect(m.livepatch({ funcs: { price: "lp_price" } })).rejects.toThrow(/'lp2' has no code/);
		expect(() => m.step({ disabel: "lp1" })).toThrow(/did you mean 'disable'/);
		expect(() => m.call("price", 1.5)).toThrow(/1.5 is not a whole number/);
		await m.livepatch(CHEAPER);
		m.settle();
		expect(m.call("price", 10)).toBe(90n);
	});

	it("says which task dies in a call, and of what", async () => {
		const m = await start({ c: "long read(long *at) { return *at; }" });
		expect(() => m.call("read", 8)).toThrow(/read\(\) in task 'caller': .*NULL|address/);
	});

	it("gives the timeline as text", async () => {
		const m = await start({ title: "a cheaper price", c: PRICE });
		await m.livepatch(CHEAPER);
		m.settle();
		expect(m.timeline()).toMatchInlineSnapshot(`
			"a cheaper price
			design mainline · cpu jit · seed 1 · preemption none

			  step    1
			  caller  P·
			  · IDLE  u UNPATCHED  P PATCHED  ✗ breaks an invariant

			   1  insmod lp1
			      lp1  enabled 1, transition 1, replace 0, stack_order 1, vmlinux/patched 1
			      price  func_stack [lp_price]
			      task    patch_state   price
			      caller  IDLE→PATCHED  original→lp_price
			        └ switched

			   2  settle
			      lp1  transition 1→0
			      task    patch_state   price
			      caller  PATCHED→IDLE  lp_price
			        └ the transition is complete

			At the end
			      task    patch_state  price
			      caller  IDLE         lp_price
			      modules: lp1 refcount 1

			 CONSISTENT  as the scenario expects
			  Whatever changed for a task changed when that very task switched."
		`);
	});

	it("loads a .ko of the kernel that it was made for", async ({ skip }) => {
		const file = `${KERNEL_KO}/livepatch-sample.ko`;
		if (!existsSync(file)) skipBecause(skip, NO_KERNEL_CORE);
		const { release } = kernelObjectOf(parseElf(new Uint8Array(readFileSync(file)), file))!;
		const layouts = readdirSync("asm/kernel-layouts").map((name) => readFileSync(`asm/kernel-layouts/${name}`, "utf8"));
		if (!layouts.some((text) => text.includes(`"${release}"`)))
			skipBecause(skip, `no layout of ${release} in asm/kernel-layouts`);
		const sample = { name: "livepatch_sample", sources: [file] };
		const without = await start({ c: PRICE });
		await expect(without.livepatch(sample)).rejects.toThrow(/and the machine has none\n.*machine\(\{ kernel: "/);
		without.close();
		const m = await start({ c: PRICE, kernel: release });
		expect(await m.livepatch(sample)).toBe("livepatch_sample");
		m.settle();
		expect(m.machine.shell.read("/proc/cmdline")).toBe("this has been live patched\n");
	});
});
