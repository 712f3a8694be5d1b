/** One livepatch, one task: a scenario whose exploration is short. */
export const SMALL = `
title: One livepatch, one task
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
tasks:
  worker: { calls: [funcA] }
steps:
  - insmod: lp1
  - settle
`;

/** So many states that no machine comes to the end of its exploration. */
export const ENDLESS = `
title: Forty tasks
cpus: 4
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
tasks:
  worker: { count: 40, calls: [funcA, funcB] }
steps:
  - insmod: lp1
  - settle
`;
/** What makes its search go on until something stops it. */
export const WITHOUT_END = ["--no-reduction", "--budget", "1000000000"];

/** The same where the search leaves out what it can: each of many administrators may be first. */
export const ENDLESS_RACE = `
title: Eight administrators
cpus: 2
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
tasks:
  worker: { count: 3, calls: [funcA, funcB] }
steps:
  - insmod: lp1
  - race:
${Array.from({ length: 8 }, (_, i) => `      - [${i % 2 === 0 ? "{ disable: lp1 }, { enable: lp1 }" : "{ enable: lp1 }, { disable: lp1 }"}]`).join("\n")}
`;
