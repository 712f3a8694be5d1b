/** Kernel code that waits for ever, in `run`: a violation that says what it waits for and where the tasks are. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import { parseScenario } from "../../src/scenario/index.js";
import { runScenario } from "../../src/scenario/run.js";

const MODULE = `#include <linux/completion.h>
#include <linux/module.h>
static DECLARE_COMPLETION(never);
static int m_init(void) { wait_for_completion(&never); return 0; }
static void m_exit(void) { }
module_init(m_init);
module_exit(m_exit);
MODULE_LICENSE("GPL");
`;
const SCENARIO = `title: t
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]
modules: { m: { sources: [m.c] } }
tasks: { sleeper: { calls: [funcA], sleeps_in: funcA } }
steps: [{ run: { task: sleeper } }, { insmod: m }]
expect: violated
`;

test("deadlock: an init that waits for ever", async () => {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
	try {
		writeFileSync(join(folder, "m.c"), MODULE);
		const file = join(folder, "s.yaml");
		const report = await runScenario(parseScenario(SCENARIO, file), { host: nodeHost(file) });
		expect(report.violations.map(({ invariant, message }) => [invariant, message])).toEqual([
			["deadlock", "shell waits for ever: wait_for_completion"],
		]);
		expect(report.failures.map(({ message }) => message).join()).toContain(
			"where the tasks are: shell sleeps in init_module; kworker/0:1 is in kernel code of its own; sleeper sleeps in funcA",
		);
	} finally {
		rmSync(folder, { recursive: true });
	}
});
