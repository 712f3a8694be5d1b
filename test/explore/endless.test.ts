/** Kernel code that waits for ever or faults is a violation with its schedule, in every schedule that leads there. */
import { expect, test } from "vitest";
import { Replayer } from "../../src/explore/index.js";
import { GuestMemory } from "../../src/linux/guest/index.js";
import { EINVAL } from "../../src/linux/lib/index.js";
import type { Memory } from "../../src/memory/index.js";
import { coreOf } from "../support/machine.js";
import { exploreModel, modelOf } from "./support.js";

const REFUSED = `
vmlinux: [asm/vmlinux/funcs.c]
modules: { other: { sources: [asm/vmlinux/twin.c] } }
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], states: [{ id: 5, version: 2 }], funcs: { funcA: lp1_funcA } }
  older: { sources: [asm/livepatches/lp2.c], states: [{ id: 5, version: 1 }], replace: true, funcs: { funcA: lp2_funcA } }
tasks: { worker: { calls: [funcA] } }
steps: [{ insmod: lp1 }, settle, { insmod: older, errno: EINVAL }, { insmod: other }]
`;

test("an error that leaves klp_mutex locked: deadlock, and not without the bug", async () => {
	expect((await exploreModel(await modelOf(REFUSED))).result).toBe("complete");
	const model = await modelOf(REFUSED);
	const klp = coreOf(model.machine);
	const enable = klp.klp_enable_patch.bind(klp);
	klp.klp_enable_patch = function* (patch) {
		const ret = yield* enable(patch);
		if (ret === -EINVAL) klp.klp_mutex.locked = true;
		return ret;
	};
	const { result, violations } = await exploreModel(model);
	expect(result).toBe("violated");
	expect(violations.map(({ broken }) => broken)).toEqual([
		{ invariant: "deadlock", message: "shell waits for ever: mutex_lock(klp_mutex)" },
	]);
	expect(violations[0]!.moves.map(({ who }) => who)).toContain("shell");
	expect(violations[0]!.moves.at(-1)!.label).toBe("mutex_lock(klp_mutex)");
});

const ENABLE = `
vmlinux: [asm/vmlinux/funcs.c]
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
tasks: { worker: { calls: [funcA] } }
steps: [{ insmod: lp1 }, settle, { disable: lp1 }]
`;

test.each([
	["by an address of its own", (memory: Memory) => memory.u64(0x1234)],
	["by an address of guest code", (memory: Memory) => new GuestMemory(memory).u64(0x1234)],
])("kernel code that touches memory that is not there, %s: a violation with its schedule", async (_whose, touch) => {
	const model = await modelOf(ENABLE);
	const klp = coreOf(model.machine);
	const disable = klp.__klp_disable_patch.bind(klp);
	klp.__klp_disable_patch = function* (patch) {
		yield "about to fault";
		touch(model.machine.memory);
		return yield* disable(patch);
	};
	const { result, violations } = await exploreModel(model, { all: true });
	expect(result).toBe("violated");
	expect(violations.map(({ broken }) => broken)).toEqual([
		expect.objectContaining({
			invariant: "warn",
			message: expect.stringMatching(/^shell faults in kernel code: .*1234/),
		}),
	]);
	const { moves } = violations[0]!;
	expect(moves.at(-1)!.label).toBe("faults");
});

test("module code that faults: a violation with its schedule, which replays", async () => {
	const yaml = `
vmlinux: [asm/vmlinux/funcs.c, asm/vmlinux/kernel.c]
modules: { bad: { sources: [test/explore/faults.c] } }
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
tasks: { worker: { calls: [funcA] } }
steps: [{ race: [[{ insmod: bad }], [{ insmod: lp1 }]] }]
`;
	const { violations } = await exploreModel(await modelOf(yaml));
	const { broken, moves } = violations[0]!;
	expect(broken).toMatchObject({
		invariant: "warn",
		message: expect.stringMatching(/^shell\/1 dies: .* at init_module\+/),
	});
	const model = await modelOf(yaml);
	const replayed = new Replayer(model).replay(moves, new Set(["warn"]));
	expect(replayed.at(-1)!.broken[0]).toMatchObject({ invariant: "warn" });
	model.machine.close();
});

test("the function tracer is switched on while a task calls a traced function", async () => {
	const yaml = `cpus: 2
vmlinux: [asm/vmlinux/funcs.c]
tasks: { worker: { calls: [funcA] } }
steps: [{ echo: { path: /sys/kernel/tracing/current_tracer, value: function } }]
`;
	expect((await exploreModel(await modelOf(yaml))).result).toBe("complete");
	expect((await exploreModel(await modelOf(yaml), { reduction: false })).result).toBe("complete");
});
