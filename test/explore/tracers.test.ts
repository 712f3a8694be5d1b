/** Return addresses that the function graph tracer has replaced, beside every schedule of a transition; kretprobes are refused. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LAYOUT } from "../../src/machine/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
import { longTest } from "../support/sample.js";
import { exploreModel, modelOf, PATCHES } from "./support.js";

const graph = `preemption: full\n${PATCHES}\ntasks: { worker: { calls: [funcA] } }
steps: [{ echo: { path: /sys/kernel/tracing/set_ftrace_filter, value: "func*" } },
  { echo: { path: /sys/kernel/tracing/current_tracer, value: function_graph } }, { insmod: lp1 }, settle,
  { disable: lp1 }, settle, { rmmod: lp1 }]`;

longTest("a transition beside the function graph tracer", async () => {
	const { result } = await exploreModel(await modelOf(graph.replace("preemption: full", "preemption: none")));
	expect(result).toBe("complete");
});

test("planted: an unwinder to which return_to_handler is the end of the stack does not see who is inside", async () => {
	const model = await modelOf(graph.replace("func*", "weigh"));
	const { graph: fgraph } = model.machine.tracer;
	const { return_to_handler } = model.machine.ftrace.templates;
	// Behind the call in entry_SYSCALL_64.
	fgraph.ftrace_graph_ret_addr = () => (ret) => (ret === return_to_handler ? LAYOUT.entry + 5 : ret);
	const { result } = await exploreModel(model);
	expect(result).toBe("violated");
});

const probe = `#include <linux/kprobes.h>
#include <linux/module.h>
static struct kretprobe rp = { .kp.symbol_name = "funcA" };
static int m_init(void) { return register_kretprobe(&rp); }
static void m_exit(void) { unregister_kretprobe(&rp); }
module_init(m_init);
module_exit(m_exit);
MODULE_LICENSE("GPL");
`;

test("a kretprobe is refused by name", async () => {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
	try {
		writeFileSync(join(folder, "m.c"), probe);
		const file = join(folder, "s.yaml");
		const text =
			`title: t\n${PATCHES}vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]\nmodules: { m: { sources: [m.c] } }
tasks: { worker: { calls: [funcA] } }\nsteps: [{ insmod: m }]`.replace("vmlinux: [asm/vmlinux/funcs.c]\n", "");
		const model = await createModel(parseScenario(text, file), { host: nodeHost(file), design: "mainline" });
		await expect(exploreModel(model)).rejects.toMatchObject({ code: "EXPLORE_UNSUPPORTED", message: /kretprobe/ });
	} finally {
		rmSync(folder, { recursive: true });
	}
});
