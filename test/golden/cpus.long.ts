/** Every scenario on every Cpu, under every design. */
import { describe, test } from "vitest";
import { designs } from "../../src/designs/index.js";
import { compareCpus, scenariosIn } from "./cpus.js";

// Those of scenarios/family as one schedule each; the explorer tries all.
const all = ["scenarios", "scenarios/family", "scenarios/hunting"].flatMap(scenariosIn);
describe.each(all)("%s", (file) => {
	test.each(designs.map((design) => design.name))("%s", (design) => compareCpus(file, design));
});
