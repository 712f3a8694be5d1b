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
