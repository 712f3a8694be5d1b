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
