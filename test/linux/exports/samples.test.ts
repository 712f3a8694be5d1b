/** samples/livepatch of Linux 6.12, unchanged, used as their own comments say. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseElf } from "../../../src/elf/index.js";
import { CPU_NAMES } from "../../../src/node/index.js";
import { createTestMachine, type TestMachine } from "../../support/machine.js";
import { KERNEL_MODULES, NO_KERNEL_MODULES, skipBecause } from "../../support/skip.js";

describe.runIf(existsSync(KERNEL_MODULES)).each(CPU_NAMES)("on %s", (cpu) => {
	let machine: TestMachine;
	beforeEach(async () => {
		machine = await createTestMachine({ cpu, kernel: true, cpus: 2, hz: 24 });
	});
	afterEach(() => machine.close());

	async function insmod(name: string, params: Record<string, string> = {}): Promise<number> {
		return machine.insmodC(name, parseElf(new Uint8Array(await readFile(`${KERNEL_MODULES}/${name}.o`)), name), params);
	}
	const seconds = (count: number) => machine.rounds(count * machine.it.hz);
	const lines = (word: string) => machine.dmesg(word);
	const disable = (name: string) => {
		expect(machine.echo("0", `${name}/enabled`)).toBe(0);
		machine.settle();
	};

	test("livepatch-sample: /proc/cmdline says that it has been live patched", async () => {
		const before = machine.it.shell.read("/proc/cmdline");
		expect(await insmod("livepatch_sample")).toBe(0);
		machine.settle();
		expect(machine.it.shell.read("/proc/cmdline")).toBe("this has been live patched\n");
		disable("livepatch_sample");
		expect(machine.it.shell.read("/proc/cmdline")).toBe(before);
		expect(machine.it.shell.rmmod("livepatch_sample")).toBe(0);
	});

	test("livepatch-callbacks: the busy module stalls the transition until its work is done", async () => {
		expect(await insmod("livepatch_callbacks_busymod", { sleep_secs: "30" })).toBe(0);
		seconds(1);
		expect(lines("busymod_work_func, sleeping 30 seconds")).toHaveLength(1);
		expect(await insmod("livepatch_callbacks_mod")).toBe(0);
		expect(await insmod("livepatch_callbacks_demo")).toBe(0);
		seconds(10);
		expect(machine.cat("livepatch_callbacks_demo/transition")).toBe("1");
		expect(lines("is sleeping on function busymod_work_func").length).toBeGreaterThan(5);
		seconds(25);
		expect(machine.cat("livepatch_callbacks_demo/transition")).toBe("0");
		expect(lines("busymod_work_func exit")).toHaveLength(1);
		expect(lines("post_patch_callback")).toHaveLength(3);
		disable("livepatch_callbacks_demo");
		for (const name of ["demo", "mod", "busymod"])
			expect(machine.it.shell.rmmod(`livepatch_callbacks_${name}`)).toBe(0);
		expect(machine.it.dmesg.warnings).toEqual([]);
		expect(machine.it.heap.count).toBe(0);
	});

	test("livepatch-shadow: leaks, then fix1 prevents new ones, then fix2 counts the checks", async () => {
		expect(await insmod("livepatch_shadow_mod")).toBe(0);
		seconds(10);
		expect(lines("dummy_alloc: dummy @").length).toBeGreaterThanOrEqual(9);
		expect(await insmod("livepatch_shadow_fix1")).toBe(0);
		machine.settle();
		seconds(40);
		expect(lines("livepatch_fix1_dummy_alloc").length).toBeGreaterThan(30);
		// Those from before the patch have leaked; those from after it have not.
		expect(lines("leaked!").length).toBeGreaterThan(5);
		expect(lines("livepatch_fix1_dummy_leak_dtor: dummy @").length).toBeGreaterThan(15);
		expect(await insmod("livepatch_shadow_fix2")).toBe(0);
		machine.settle();
		seconds(40);
		const counters = lines("check counter = ").map((line) => Number(line.slice(line.lastIndexOf(" ") + 1)));
		expect(counters.length).toBeGreaterThan(15);
		// A dummy lives twelve seconds, is looked at every three, and goes when it is found too old.
		expect([4, 5]).toContain(Math.max(...counters));
		disable("livepatch_shadow_fix2");
		disable("livepatch_shadow_fix1");
		expect(machine.it.shell.rmmod("livepatch_shadow_fix2")).toBe(0);
		expect(machine.it.shell.rmmod("livepatch_shadow_fix1")).toBe(0);
		expect(machine.it.exports.shadow.count).toBe(0);
		expect(machine.it.shell.rmmod("livepatch_shadow_mod")).toBe(0);
		// Nothing but what leaked before fix1 is left.
		const leaked = lines("leaked!").length;
		expect(machine.it.heap.count).toBeGreaterThanOrEqual(leaked);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
});

test("the kernel's modules are there", ({ skip }) => {
	if (!existsSync(KERNEL_MODULES)) skipBecause(skip, NO_KERNEL_MODULES);
});
