import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { klp_func, klp_object, klp_patch } from "../../../src/linux/klp/index.js";
import { restoreMachine, saveMachine } from "../../../src/machine/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { createScenarioMachine, parseScenario } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";

const FLAGSHIP = "scenarios/hybrid-lp1-lp2-lp3.yaml";

test.for(["jit", "unicorn"])("a machine with a compiled core is saved and restored, on %s", async (cpu, { skip }) => {
	const core = await kernelCore(skip);
	const scenario = parseScenario(await readFile(FLAGSHIP, "utf8"), FLAGSHIP);
	const { machine, objects } = await createScenarioMachine(scenario, { host: nodeHost(FLAGSHIP), cpu, core });
	try {
		const insmod = (name: string) =>
			machine.shell.insmod(name, objects.livepatches.get(name)!, {
				patchOf(mod) {
					const new_name = `${name}_funcA`;
					const new_func = mod.image.symbol(new_name)!.address;
					const funcs = [new klp_func({ old_name: "funcA", new_name, new_func })];
					return new klp_patch({ mod, objs: [new klp_object({ name: undefined, funcs })] });
				},
			});
		const funcA = machine.vmlinux.symbol("funcA")!.address;
		const sleeper = machine.tasks.add({
			...{ name: "sleeper", kthread: false, calls: [funcA] },
			sleepAt: () => [(machine.ftrace.ftrace_location(funcA) + 5) | 0],
		});
		for (let i = 0; i < 100; i++) machine.round();
		/** All that the core has, as files and reads of an observer show it. */
		const look = () => ({
			sysfs: [...machine.klp.sysfs.entries()],
			stack: machine.klp.funcStack(funcA).map(({ new_name }) => new_name),
			views: [-1, 0, 1].map((state) => machine.klp.wouldRun(funcA, state)?.new_name),
			states: [...machine.sched.all()].map(({ comm, patch_state, pending }) => [comm, patch_state, pending]),
			klp: [machine.klp.inTransition, machine.klp.klp_target_state, machine.klp.klp_mutex.locked],
			heap: machine.heap.count,
			works: machine.workqueue.delayed.length,
		});
		/** From a running transition on: to its end, and another patch, which is disabled and unloaded. */
		const goOn = () => {
			machine.tasks.wake(sleeper);
			const looks = [machine.settle(1000), look(), insmod("lp2"), machine.settle(1000), look()];
			looks.push(machine.shell.write("/sys/kernel/livepatch/lp2/enabled", "0"), machine.settle(1000));
			looks.push(machine.shell.rmmod("lp2"), look());
			return looks;
		};
		expect(insmod("lp1")).toBe(0);
		const before = look();
		expect(before.klp[0]).toBe("lp1");
		const saved = saveMachine(machine);
		const first = goOn();
		expect(first).toMatchObject([
			true,
			{ stack: ["lp1_funcA"] },
			0,
			true,
			{ stack: ["lp2_funcA", "lp1_funcA"] },
			0,
			true,
			0,
			{},
		]);
		restoreMachine(machine, saved);
		expect(look()).toEqual(before);
		expect(goOn()).toEqual(first);
	} finally {
		machine.close();
	}
});
