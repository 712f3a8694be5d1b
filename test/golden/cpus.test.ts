/**
 * Every scenario on every Cpu, under the design that it names; one of them under every design. cpus.long.ts (npm run test:long) has
 * every scenario under every design.
 */
import { existsSync } from "node:fs";
import { describe, test } from "vitest";
import { designs } from "../../src/designs/index.js";
import { KERNEL_MODULES, NO_KERNEL_MODULES, skipBecause } from "../support/skip.js";
import { compareCpus, scenariosIn } from "./cpus.js";

test.each([...scenariosIn("scenarios"), ...scenariosIn("scenarios/family")])("%s", (file) => compareCpus(file));

test.each(designs.map((design) => design.name))("hybrid-lp1-lp2-lp3 under %s", (design) =>
	compareCpus("scenarios/hybrid-lp1-lp2-lp3.yaml", design),
);

describe("selftests", () => {
	test.for(scenariosIn("scenarios/selftests"))("%s", async (file, { skip }) => {
		if (!existsSync(KERNEL_MODULES)) skipBecause(skip, NO_KERNEL_MODULES);
		await compareCpus(file);
	});
});
