import { readFileSync } from "node:fs";
import { NodeFileReader } from "/work/p2/src/cli/files.js";
import { parseScenario } from "/work/p2/src/scenario/index.js";
import { createModel } from "/work/p2/src/scenario/explorable.js";
import { KernelGraph, Search, World } from "/work/p2/src/explore/index.js";
import { INVARIANTS } from "/work/p2/src/report/types.js";
const [file, design, budget = "100000"] = process.argv.slice(2);
const scenario = parseScenario(readFileSync(file!, "utf8"), file!);
const model = await createModel(scenario, { files: new NodeFileReader(file!), design: design! });
const world = new World(model);
const graph = new KernelGraph(world);
const active = process.argv[5]?.split(",") ?? model.tasks.filter(t=>t.named || t.name==="worker/0").map(t=>t.name);
const t0 = performance.now();
const search = new Search(model, graph, active, { budget: Number(budget), invariants: new Set(INVARIANTS), all: false, reduction: process.argv[6]!=="full", onProgress: (s, e) => console.error(s, e, graph.states.length, world.states.all.length, JSON.stringify(graph.executed)) });
try {
const r = search.run();
const dt = (performance.now() - t0)/1000;
console.log({ ...r, violations: r.violations.map(v => v.broken), kernel: graph.states.length, tasks: world.states.all.length, seconds: dt, rate: r.states/dt });
for (const v of r.violations) for (const m of v.moves) console.log(m.who, m.steps, JSON.stringify(m.busy), m.late ? "late" : "", m.label);
} catch (e) { console.log(e, graph.states.length, world.states.all.length, graph.executed); }
{
  const row = new Int32Array(world.slots.length + 1);
  const t = (search as any);
  const n = search["table" as never] as any;
  for (const i of (search as any).deadEnds ?? []) {
    console.log("dead end", i, search.movesTo(i).map(m => `${m.who}:${m.steps}:${m.label}`).slice(-12));
  }
}
console.log(graph.states.slice(-12).map(s => `${s.id} <- ${s.via?.from.id} next=${JSON.stringify(s.next)} on=${s.onCpu} tr=${s.inTransition} ${JSON.stringify(s.stacks)} ${s.key.split("|").slice(1,-3).map(x=>x.slice(-80)).join(" | ")}`).join("\n"));
