/**
 * Scenarios on every Cpu, under the design that they name; one of them under some designs. cpus.long.ts (npm run test:long) has every
 * scenario under every design.
 */
import { existsSync } from "node:fs";
import { describe, test } from "vitest";
import { designs } from "../../src/designs/index.js";
import { sample } from "../support/sample.js";
import { KERNEL_MODULES, NO_KERNEL_MODULES, skipBecause } from "../support/skip.js";
import { compareCpus, scenariosIn } from "./cpus.js";

test.each([...sample(scenariosIn("scenarios"), 4), ...sample(scenariosIn("scenarios/family"), 12)])("%s", (file) =>
	compareCpus(file),
);

test.each(sample(designs, 3).map((design) => design.name))("hybrid-lp1-lp2-lp3 under %s", (design) =>
	compareCpus("scenarios/hybrid-lp1-lp2-lp3.yaml", design),
);

describe("selftests", () => {
	test.for(sample(scenariosIn("scenarios/selftests"), 3))("%s", async (file, { skip }) => {
		if (!existsSync(KERNEL_MODULES)) skipBecause(skip, NO_KERNEL_MODULES);
		await compareCpus(file);
	});
});
