/** Every scenario on every Cpu, under every design. */
import { describe, test } from "vitest";
import { designs } from "../../src/designs/index.js";
import { compareCpus, scenariosIn } from "./cpus.js";

// Those of scenarios/family as one schedule each; the explorer tries all.
describe.each(["scenarios", "scenarios/family"].flatMap(scenariosIn))("%s", (file) => {
	test.each(designs.map((design) => design.name))("%s", (design) => compareCpus(file, design));
});

// They ask about mainline: other designs refuse their keys.
test.each(scenariosIn("scenarios/hunting"))("%s", (file) => compareCpus(file));
