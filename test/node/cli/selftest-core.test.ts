import { access } from "node:fs/promises";
import { expect, test } from "vitest";
import { selftestCommand } from "../../../src/node/cli/selftest.js";
import { LONG, sample } from "../../support/sample.js";
import { KERNEL_CORE, KERNEL_KO, NO_KERNEL_CORE, skipBecause } from "../../support/skip.js";

const here = (file: string) =>
	access(file).then(
		() => true,
		() => false,
	);

test.for(sample(["jit", "unicorn"], 2))(
	"Linux's own selftests with its own core and its own .ko files, on %s",
	async (cpu, { skip }) => {
		if (!(await here(KERNEL_CORE)) || !(await here(KERNEL_KO))) skipBecause(skip, NO_KERNEL_CORE);
		const text: string[] = [];
		const stdout = { write: (part: string) => text.push(part) };
		const options = { core: KERNEL_CORE, modules: KERNEL_KO, cpu, design: undefined };
		const io = { stdout, stderr: stdout, stdin: process.stdin, env: {} };
		expect(await selftestCommand.run(options, LONG ? [] : ["test-livepatch.sh"], io)).toBe(0);
		expect(text.join("")).toMatch(LONG ? /# Totals: pass:25 fail:0/ : /# Totals: pass:[1-9]\d* fail:0/);
	},
);
