/** Spin locks of guest C disable preemption: in `run`, and in the explorer. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeHost } from "../../../src/node/index.js";
import { createModel, parseScenario } from "../../../src/scenario/index.js";
import { exploreModel } from "../../explore/support.js";
import { compileModule, createTestMachine } from "../../support/machine.js";

const LOCKED = `#include <linux/preempt.h>
#include <linux/spinlock.h>
extern long funcA(long x);
static DEFINE_SPINLOCK(lock);
noinline long locked(long x)
{
	unsigned long flags;
	long result;

	spin_lock_irqsave(&lock, flags);
	result = funcA(x);
	spin_unlock_irqrestore(&lock, flags);
	preempt_disable();
	result += funcA(x);
	preempt_enable();
	spin_lock(&lock);
	spin_unlock(&lock);
	return result + spin_is_locked(&lock) + !spin_trylock(&lock);
}
`;

test("run: no slice ends while a task holds a spin lock, or has disabled preemption", async () => {
	const machine = await createTestMachine({ cpu: "jit", kernel: true, cpus: 1 });
	try {
		const text = `${LOCKED}\n#include <linux/module.h>\nstatic int m_init(void) { return 0; } static void m_exit(void) { }
module_init(m_init); module_exit(m_exit); MODULE_LICENSE("GPL");`;
		expect(machine.insmodC("m", await compileModule("m", text))).toBe(0);
		const before = machine.call(machine.task("other", "untraced"), "funcA");
		const task = machine.task("worker", "locked");
		machine.task("rival", "funcD");
		let ended = 0;
		for (let i = 0; i < 300; i++) {
			machine.it.round();
			expect(task.preempt_count).toBeLessThan(2);
			const inside = machine.it.unwinder.walk(task).entries.map((ip) => machine.it.symbolize(ip));
			// Its last spin_trylock() keeps the lock: from then on it never loses its CPU, which ends in an error.
			if (inside.some((name) => name.startsWith("funcA+")) && inside.some((name) => name.startsWith("locked+")))
				ended++;
			if (task.nvcsw > 0) break;
		}
		expect([ended, before > 0]).toEqual([0, true]);
	} finally {
		machine.close();
	}
});

async function explored(func: string) {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
	try {
		writeFileSync(join(folder, "locked.c"), LOCKED.replace(" + spin_is_locked(&lock) + !spin_trylock(&lock)", ""));
		const yaml = readFileSync("scenarios/family/preempted.yaml", "utf8")
			.replace("[asm/vmlinux/funcs.c]", "[asm/vmlinux/funcs.c, asm/vmlinux/kernel.c, locked.c]")
			.replace("calls: [funcA]", `calls: [${func}]`)
			.replace("  - rmmod: lp1", "")
			.replace(/^explore:.*/ms, "");
		const file = join(folder, "s.yaml");
		const model = await createModel(parseScenario(yaml, file), { host: nodeHost(file), design: "mainline" });
		return await exploreModel(model);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

test("explore: nobody is preempted on a trampoline who holds a spin lock", async () => {
	expect((await explored("funcA")).result).toBe("violated");
	expect((await explored("locked")).result).toBe("complete");
});
