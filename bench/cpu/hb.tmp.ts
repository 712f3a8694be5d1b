import { Emulated } from "./emulated.js";
import { Native } from "./native.js";
const native = await Native.build();
const e = await Emulated.create("jit");
const min = new Map<string, number>();
const hw = new Map<string, number>();
const rounds = Number(process.argv[2] ?? 12);
e.rows(60);
for (let i = 0; i < rounds; i++) {
	for (const [k, v] of e.rows(10)) min.set(k, Math.min(min.get(k) ?? 1e9, v.ns));
	if (i % 4 === 0) for (const [k, v] of await native.rows(5)) hw.set(k, Math.min(hw.get(k) ?? 1e9, v.ns));
}
for (const [k, v] of min) {
	const off = k === "call" || k === "redirect";
	const a = v - (off ? min.get("loop")! : 0), b = hw.get(k)! - (off ? hw.get("loop")! : 0);
	console.log(k.padEnd(10), a.toFixed(2).padStart(10), b.toFixed(2).padStart(10), (a / b).toFixed(2).padStart(8), e.instructions.get(k));
}
e.close();
