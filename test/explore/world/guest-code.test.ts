import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { World } from "../../../src/explore/world/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { createModel, parseScenario } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";

/** A livepatch that has this version of a state, and what it does when klp_enable_patch() has failed. */
const livepatch = (version: number, failed: string) => `#include <linux/livepatch.h>
extern long shared;
static long new_f(long x) { return x; }
static struct klp_func funcs[] = { { .old_name = "funcA", .new_func = new_f }, {} };
static struct klp_object objs[] = { { .funcs = funcs }, {} };
static struct klp_state states[] = { { .id = 1, .version = ${version} }, {} };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs, .states = states };
static int start(void) { int ret = klp_enable_patch(&patch); if (ret) { ${failed} } return ret; }
static void stop(void) {}
module_init(start);
module_exit(stop);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
`;

test("behind a critical section of klp_mutex others come before the next shared access", async ({ skip }) => {
	const core = await kernelCore(skip);
	const folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
	writeFileSync(join(folder, "shared.c"), "long shared;\n");
	writeFileSync(join(folder, "new.c"), livepatch(2, ""));
	writeFileSync(join(folder, "old.c"), livepatch(1, "shared = 1;"));
	const file = join(folder, "s.yaml");
	const scenario = parseScenario(
		`title: t
cpus: 2
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c, shared.c]
livepatches: { new: { sources: [new.c] }, old: { sources: [old.c] } }
tasks: { parked: { calls: [funcA], idle: true } }
steps: [insmod: new, { insmod: old, errno: EINVAL }]
`,
		file,
	);
	const model = await createModel(scenario, { host: nodeHost(file), core });
	try {
		const shared = model.machine.vmlinux.symbol("shared")!.address;
		// Nothing else is in conflict here.
		const world = new World(model, [`${(shared >>> 0).toString(16)}+8:w`]);
		const moves: string[] = [];
		while (world.nextStep(0) !== undefined) moves.push(world.moveActor(0, new Set()).label);
		// klp_is_patch_compatible() finds the newer state, so that nothing is done under klp_mutex.
		expect(moves[moves.indexOf("init_module") - 1]).toBe("vmlinux:mutex_lock");
	} finally {
		model.machine.close();
		rmSync(folder, { recursive: true });
	}
});
