/** A scenario that loads one livepatch. `cpus`: a line, or nothing. `steps`: behind the insmod. */
const scenario = (title: string, cpus: string, worker: string, steps: string): string => `
title: ${title}
${cpus}vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
tasks:
  worker: { ${worker} }
steps:
  - insmod: lp1
${steps}`;
const SETTLE = "  - settle\n";

/** One livepatch, one task: a scenario whose exploration is short. */
export const SMALL = scenario("One livepatch, one task", "", "calls: [funcA]", SETTLE);

/** So many states that no machine comes to the end of its exploration. */
export const ENDLESS = scenario("Forty tasks", "cpus: 4\n", "count: 40, calls: [funcA, funcB]", SETTLE);
/** What makes its search go on until something stops it. */
export const WITHOUT_END = ["--no-reduction", "--budget", "1000000000"];

/** The same where the search leaves out what it can: each of many administrators may be first. */
export const ENDLESS_RACE = scenario(
	"Eight administrators",
	"cpus: 2\n",
	"count: 3, calls: [funcA, funcB]",
	`  - race:
${Array.from({ length: 8 }, (_, i) => `      - [${i % 2 === 0 ? "{ disable: lp1 }, { enable: lp1 }" : "{ enable: lp1 }, { disable: lp1 }"}]`).join("\n")}
`,
);
