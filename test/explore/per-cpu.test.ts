/** Per-CPU variables of .ko files: the explorer does not know on which CPU a task is, so no state holds what they have. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { World } from "../../src/explore/world/index.js";
import { nodeHost } from "../../src/node/index.js";
import { createModel, parseScenario } from "../../src/scenario/index.js";
import { kernelCore } from "../support/kernel-core.js";
import { writeKo } from "../support/ko.js";
import { exploreModel } from "./support.js";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** `work`: a function that the task calls. `init`: of its module. */
const MODULE = (work: string, init: string) => `
__asm__(".pushsection .data..percpu, \\"aw\\"\\n.balign 8\\nmine: .quad 2\\n.size mine, 8\\n.popsection");
#define COUNT __asm__ __volatile__("incq %%gs:mine(%%rip)" ::: "memory")
#define READ ({ u64 v; __asm__ __volatile__("movq %%gs:mine(%%rip), %0" : "=r"(v)); v; })
/* per_cpu_ptr(&mine, 1), of a task that is on CPU 0. */
#define OTHER ({ u64 *p; __asm__ __volatile__("movq %%gs:this_cpu_off(%%rip), %0\\n\\taddq $mine, %0" : "=r"(p)); p + 512; })
noinline long in_target(long x) { __asm__ __volatile__(""); return x; }
noinline long work(long x) { ${work} return in_target(x); }
static int lp_init(void) { ${init} return 0; }
static void lp_exit(void) { }
`;
const YAML = `title: t
cpus: 2
vmlinux: [asm/vmlinux/kernel.c, asm/vmlinux/funcs.c]
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], objects: { m: { in_target: lp1_funcA } } } }
tasks: { t: { calls: [work], idle: true } }
steps: [insmod: ./m.ko, wake: t]
`;

async function explored(work: string, init = "") {
	await writeKo(folder, "m", MODULE(work, init), { livepatch: false });
	const file = join(folder, "s.yaml");
	const model = await createModel(parseScenario(YAML, file), { host: nodeHost(file) });
	const { result, reason, violations } = await exploreModel(model);
	return { result, reason, violations: violations.map(({ broken }) => broken.invariant) };
}

const BOUNDED = {
	result: "bounded",
	reason: expect.stringMatching(/^t goes on with the values of one CPU: mine is a per-CPU variable.* \(work/),
};

test.each([
	["counts, and looks at its count", "COUNT; if (READ == 5) in_target(x);", ""],
	["counts, and looks at the count of another CPU", "COUNT; if (*OTHER == 5) in_target(x);", ""],
	["looks at what an init has written on its CPU", "if (READ == 5) in_target(x);", "COUNT;"],
])("bounded, with the variable's name: a task %s", async (_, work, init) => {
	expect(await explored(work, init)).toMatchObject(BOUNDED);
});

test("bounded: a task looks at the number of its CPU", async () => {
	const number =
		'u32 cpu; __asm__ __volatile__("movl %%gs:cpu_number(%%rip), %0" : "=r"(cpu)); if (cpu == 1) in_target(x);';
	expect(await explored(number)).toMatchObject({
		result: "bounded",
		reason: expect.stringMatching(/^t goes on with the number of one CPU: it reads smp_processor_id\(\)/),
	});
});

test.each([
	["counts, and nobody looks", "COUNT;"],
	["reads what has its first value on every CPU", "if (READ != 2) __builtin_trap();"],
])("complete: a task %s", async (_, work) => {
	expect(await explored(work)).toMatchObject({ result: "complete", violations: [] });
});

test("with a core in C each task has variables of modules of its own, with the values of a CPU", async ({ skip }) => {
	const core = await kernelCore(skip);
	const yaml = "title: t\ncpus: 2\nvmlinux: [asm/vmlinux/funcs.c]\ntasks: { t: { calls: [funcA] } }\nsteps: [settle]\n";
	const { machine, ...model } = await createModel(parseScenario(yaml, "s.yaml"), { host: nodeHost("s.yaml"), core });
	try {
		new World({ machine, ...model });
		const { percpu, memory, sched } = machine;
		expect([...percpu.areas()].length).toBe(2 + [...sched.all()].length);
		const first = (percpu.per_cpu_offset(0) + 0x900) | 0;
		memory.setU64(first, 7n);
		expect(memory.u32((percpu.per_cpu_offset(1) + percpu.cpuNumber!) | 0)).toBe(1);
		const child = sched.dup_task_struct("child", { mode: "user" });
		const own = (percpu.areaOf(child) + 0x900) | 0;
		expect(own).not.toBe(first);
		expect(memory.u64(own)).toBe(7n);
		expect([own, (own - 0x200) | 0, 0x1000].map((at) => percpu.ofModule(at))).toEqual([first, undefined, undefined]);
	} finally {
		machine.close();
	}
});
