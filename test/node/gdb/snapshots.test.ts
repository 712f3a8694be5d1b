/** A move costs what lies behind the snapshot before it, and leads to the machine of a run from the start. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Player } from "../../../src/node/gdb/index.js";
import { GdbSession } from "../../../src/node/gdb/session.js";
import { MAX_SNAPSHOTS, Snapshots } from "../../../src/node/gdb/snapshots.js";
import { nodeHost } from "../../../src/node/index.js";
import { createScenarioMachine, parseScenario } from "../../../src/scenario/index.js";
import { capturesOf, expectSame } from "./support.js";

const file = join(mkdtempSync(join(tmpdir(), "klpemu-gdb-")), "long.yaml");
const text = `title: Long
vmlinux: [asm/vmlinux/funcs.c]
livepatches:
  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }
  lp2: { sources: [asm/livepatches/lp2.c], replace: true, funcs: { funcA: lp2_funcA, funcB: lp2_funcB } }
tasks:
  worker: { calls: [funcA, funcB] }
  sleeper: { calls: [funcA], sleeps_in: funcA }
steps:
  - insmod: lp1
  - settle
  - run: { task: sleeper }
  - fork: { parent: worker, child: kid, calls: [funcB], window: 40 }
  - insmod: lp2
  - run: 400
  - wake: sleeper
  - settle
  - exit: kid
  - rmmod: lp1
  - sleep: 2
  - disable: lp2
  - settle
  - run: 200
`;
const options = { host: nodeHost(file) };
const scenario = parseScenario(text, file);

let player: Player;
beforeAll(async () => {
	writeFileSync(file, text);
	player = await Player.record(scenario, options);
});
afterAll(() => player.close());

/** The largest distance of two snapshots, or of the last one and the end. */
function distance(): number {
	const at = [...player.snapshots, player.history.length];
	return Math.max(...at.slice(1).map((position, index) => position - at[index]!));
}

describe("a move of a debugger", () => {
	test("late in a run costs no more events than lie between two snapshots", async () => {
		const { length } = player.history;
		expect(length).toBeGreaterThan(20 * distance());
		const session = await GdbSession.start(player);
		const send = async (packet: string) => (await session.answer(packet)).reply!;
		expect(await send("vCont;c")).toContain("replaylog:end");
		const moved = async (packet: string) => {
			const before = player.executed;
			const reply = await send(packet);
			return { reply, cost: player.executed - before };
		};
		for (let i = 0; i < 5; i++) {
			await send("Hc3");
			const { reply, cost } = await moved("bs");
			expect(reply).toBe("T05thread:3;");
			expect(cost).toBeGreaterThan(0);
			expect(cost).toBeLessThanOrEqual(distance());
		}
		// A breakpoint that was hit last some thousand events ago.
		const found = player.history.find(length - 5000, -1, (_thread, ip) => ip !== 0)!;
		const ip = BigInt.asUintN(64, BigInt(player.history.ip(found))).toString(16);
		await send(`Z0,${ip},1`);
		const { reply, cost } = await moved("bc");
		expect(reply).not.toContain("begin");
		expect(cost).toBeLessThanOrEqual(distance());
		await send(`z0,${ip},1`);
	});

	test("leads to the machine that a run from the start has there, whatever was looked at before", async () => {
		const { length } = player.history;
		const positions = Array.from({ length: 24 }, (_, i) => Math.floor((length * i) / 23));
		const expected = await capturesOf(scenario, options, positions);
		// Backwards, and then forwards.
		for (const position of [...positions].reverse()) expectSame(await player.at(position), expected.get(position)!);
		for (const position of positions) expectSame(await player.at(position), expected.get(position)!);
	});

	test("to a watchpoint backwards looks behind one snapshot after the other", async () => {
		const { length } = player.history;
		const session = await GdbSession.start(player);
		const send = async (packet: string) => (await session.answer(packet)).reply!;
		await send("vCont;c");
		const { machine } = await createScenarioMachine(scenario, options);
		const { address } = machine.vmlinux.symbol("funcA_calls")!;
		machine.close();
		await send(`Z2,${BigInt.asUintN(64, BigInt(address)).toString(16)},8`);
		const before = player.executed;
		expect(await send("bc")).toMatch(/watch:/);
		expect(player.executed - before).toBeLessThan(length / 4);
	});
});

describe("snapshots", () => {
	const machine = { memory: { regions: [] } } as never;
	const place = { step: 0, rounds: undefined, present: new Map() };

	test("of a run of any length are few, and spread over all of it", () => {
		for (const length of [1, 999, 130_000, 10_000_000]) {
			const snapshots = new Snapshots();
			for (let position = 0; position < length; position += 97) {
				if (snapshots.isDue(position)) snapshots.add({ position, place, machine });
			}
			const { positions } = snapshots;
			expect(positions.length).toBeLessThanOrEqual(MAX_SNAPSHOTS);
			expect(positions[0]).toBe(0);
			const gaps = [...positions.slice(1), length].map((position, index) => position - positions[index]!);
			expect(Math.max(...gaps)).toBeLessThanOrEqual(Math.max(1100, (2.2 * length) / MAX_SNAPSHOTS));
			expect(snapshots.before(length)!.position).toBe(positions.at(-1));
		}
	});
	test("of large machines are fewer", () => {
		const snapshots = new Snapshots();
		const large = { memory: { regions: [{ bytes: { length: 100 << 20 } }] } } as never;
		for (let i = 0; i < 20; i++) {
			if (snapshots.isDue(i * 1000)) snapshots.add({ position: i * 1000, place, machine: large });
			expect(snapshots.positions.length).toBeLessThanOrEqual(3);
		}
	});
});
