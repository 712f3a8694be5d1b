import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { nodeHost } from "../../src/node/index.js";
import { parseScenario, runScenario } from "../../src/scenario/index.js";

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** What is violated while a task calls `body`, and nothing of livepatch happens. */
async function violations(body: string) {
	const file = join(folder, "s.yaml");
	writeFileSync(
		join(folder, "m.c"),
		`#include <linux/module.h>\n#include <linux/slab.h>\nlong tried(long x) { ${body} return 0; }\n`,
	);
	const text =
		"title: t\nvmlinux: [asm/vmlinux/kernel.c, m.c]\ntasks: { a: { calls: [tried] } }\nsteps: [{ run: 5 }]\n";
	const report = await runScenario(parseScenario(text, file), { host: nodeHost(file) });
	return report.violations.map(({ invariant, message }) => [invariant, message]);
}

test("a WARN that guest code hits between two points is told, equal ones once in a step", async () => {
	const found = await violations("void *p = kmalloc(64, GFP_KERNEL); kfree(p); kfree(p);");
	expect(found).toEqual([["warn", "WARN_ON in BUG kmalloc-64 (Not tainted): Object already free"]]);
	expect(await violations("WARN_ON(1);")).toEqual([["warn", expect.stringMatching(/at m\.c:3 tried\+0x/)]]);
});

test("a jump to NULL is no freed text", async () => {
	const [[invariant, message]] = (await violations("((void (*volatile)(void))0)();")) as [[string, string]];
	expect([invariant, message]).toEqual(["warn", expect.stringContaining("address: 0x0000000000000000")]);
});
