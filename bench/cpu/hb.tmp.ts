import { Emulated, ROWS } from "/work/jit/bench/cpu/emulated.js";
const e = await Emulated.create("jit");
for (let i = 0; i < 4; i++) { const rows = e.rows(40); console.log([...rows].map(([k,v])=>`${k} ${v.ns.toFixed(2)} ${v.result}`).join("  ")); }
e.close();
