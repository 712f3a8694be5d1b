import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { Breakpoints } from "../../../src/node/gdb/breakpoints.js";
import { type GdbServer, Player, serveGdb } from "../../../src/node/gdb/index.js";
import { bytesOf, hexText, latin1, packetOf } from "../../../src/node/gdb/packets.js";
import { GdbSession } from "../../../src/node/gdb/session.js";
import { nodeHost } from "../../../src/node/index.js";
import { parseScenario } from "../../../src/scenario/index.js";
import { cliOf } from "../../support/cli.js";
import { LONG } from "../../support/sample.js";

const file = join(mkdtempSync(join(tmpdir(), "klpemu-gdb-")), "small.yaml");
const text = `title: Small
vmlinux: [asm/vmlinux/funcs.c]
livepatches: { lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } } }
tasks: { worker: { calls: [funcA] } }
steps: [{ run: 5 }, { insmod: lp1 }, settle, { run: 5 }]
`;

/** What qXfer:exec-file names. */
const PROGRAM = "/klpemu/kernel";

let player: Player;
beforeAll(async () => {
	writeFileSync(file, text);
	player = await Player.record(parseScenario(text, file), { host: nodeHost(file) });
});

/** A client: sends packets, and keeps the last reply. */
async function client() {
	const session = await GdbSession.start(player);
	const send = async (data: string) => (await session.answer(data)).reply ?? "";
	const monitor = async (name: string) => new TextDecoder().decode(bytesOf(await send(`qRcmd,${hexText(name)}`))!);
	/** Number of the event at which the client is. */
	const position = async () => Number(/event (\d+)/.exec(await monitor("position"))![1]);
	const rip = async () => bytesOf(await send("p10"))!.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
	return { send, monitor, position, rip };
}

test("the file of the program is read in pieces; anything else of the host is not there", async () => {
	const { send } = await client();
	const open = (name: string) => send(`vFile:open:${hexText(name)},0,0`);
	expect(await send("vFile:setfs:0")).toBe("F0");
	const descriptor = /^F([0-9a-f]+)$/.exec(await open(PROGRAM))![1];
	const [ENOENT, EBADF, EINVAL, ENOSYS] = ["F-1,2", "F-1,9", "F-1,16", "F-1,58"];
	expect(await open("/etc/passwd")).toBe(ENOENT);
	expect((await send(`vFile:fstat:${descriptor}`)).slice(0, 4)).toBe("F40;");
	const head = await send(`vFile:pread:${descriptor},4,0`);
	expect([head.slice(0, 3), head.slice(3)]).toEqual(["F4;", "\x7fELF"]);
	expect((await send(`vFile:pread:${descriptor},4,${player.file.length.toString(16)}`)).slice(0, 2)).toBe("F0");
	expect(await send(`vFile:pread:${descriptor},x,0`)).toBe(EINVAL);
	expect(await send(`vFile:pread:${descriptor},4`)).toBe(EINVAL);
	expect(await send(`vFile:write:${descriptor},0,00`)).toBe(ENOSYS);
	expect(await send("vFile:pread:77,4,0")).toBe(EBADF);
	expect(await send(`vFile:close:${descriptor}`)).toBe("F0");
});

test("requests with numbers that are none, or too large, are errors; addresses outside of the kernel too", async () => {
	const { send } = await client();
	const address = await symbol("lp1_funcA");
	const EINVAL = "E16";
	expect(await send("qRcmd,6b6c7")).toBe(EINVAL);
	expect(await send(`Z2,${address},0`)).toBe(EINVAL);
	expect(await send(`Z2,${address},1001`)).toBe(EINVAL);
	expect(await send("Z0,7fffffff,1")).toBe("E0e");
	expect(await send(`vCont;r${address},7fffffff:1`)).toBe(EINVAL);
	expect(await send(`vCont;r${address}:1`)).toBe(EINVAL);
});

test("at most 10,000 breakpoints: a client that sends them without end does not fill memory", () => {
	const breakpoints = new Breakpoints();
	for (let address = -10_000; address < 0; address++) expect(breakpoints.insert("0", address, 1)).toBe(true);
	expect(breakpoints.insert("0", -10_001, 1)).toBe(false);
	breakpoints.remove("0", -1, 1);
	expect(breakpoints.insert("0", -10_001, 1)).toBe(true);
});

test("the thread that is chosen is the one whose registers are read, and that is stepped", async () => {
	const { send, position } = await client();
	const first = await send("g");
	expect(await send("Hg3")).toBe("OK");
	expect(await send("g")).not.toBe(first);
	expect(await send("Hg-1")).toBe("OK");
	expect(await send("g")).toBe(first);
	expect(await send("Hc3")).toBe("OK");
	expect(await send("s")).toBe("T05thread:3;");
	// Without a thread, the one that executes; a step back leads to where it was.
	const at = await position();
	for (const step of ["s", "vCont;s", "vCont;s:-1"]) {
		expect(await send(step)).toBe("T05thread:3;");
		expect(await position()).toBeGreaterThan(at);
		expect(await send("bs")).toBe("T05thread:3;");
		expect(await position()).toBe(at);
	}
});

test("threads that do not exist, and ranges that are none, are errors", async () => {
	const { send } = await client();
	expect([await send("Hg-1"), await send("Hg0"), await send("Hc-1"), await send("Hc0")]).toEqual([
		"OK",
		"OK",
		"OK",
		"OK",
	]);
	expect(await send("qThreadExtraInfo,7777")).toMatch(/^E/);
	expect(await send("p7777")).toMatch(/^E/);
	expect(await send("vCont;r1000,zz:1")).toMatch(/^E/);
	expect(await send("vCont;q")).toMatch(/^E/);
	expect(await send("Z0,1000,1")).toMatch(/^E/);
	expect((await (await GdbSession.start(player)).answer("k")).ends).toBe(true);
});

/** An address as gdb writes it. */
async function symbol(name: string): Promise<string> {
	const at = player.history.find(-1, 1, (_thread, ip) => ip !== 0 && names(ip) === name);
	expect(at).toBeDefined();
	return BigInt.asUintN(64, BigInt(player.history.ip(at!))).toString(16);
}
let names: (ip: number) => string | undefined = () => undefined;
beforeAll(() => {
	// The symbol table of the file that gdb gets.
	const view = new DataView(player.file.buffer);
	const table = Number(view.getBigUint64(40, true));
	const count = view.getUint16(60, true);
	const section = (index: number) => {
		const at = table + 64 * index;
		return {
			type: view.getUint32(at + 4, true),
			offset: Number(view.getBigUint64(at + 24, true)),
			size: Number(view.getBigUint64(at + 32, true)),
			link: view.getUint32(at + 40, true),
		};
	};
	const symbols = Array.from({ length: count }, (_, i) => section(i)).find(({ type }) => type === 2)!;
	const strings = section(symbols.link).offset;
	const known = new Map<number, string>();
	for (let at = symbols.offset; at < symbols.offset + symbols.size; at += 24) {
		const start = strings + view.getUint32(at, true);
		const name = new TextDecoder().decode(player.file.subarray(start, player.file.indexOf(0, start)));
		known.set(Number(BigInt.asIntN(32, view.getBigUint64(at + 8, true))), name);
	}
	names = (ip) => known.get(ip);
});

describe("a client", () => {
	test("sees tasks as threads, registers and memory; nothing can be written", async () => {
		const { send } = await client();
		expect(await send("?")).toBe("T05thread:1;");
		const xml = await send("qXfer:threads:read::0,1000");
		expect(xml).toMatch(/^l<\?xml version="1.0"\?><threads>.*name="worker".*name="swapper\/0".*<\/threads>$/);
		expect(await send("qfThreadInfo")).toMatch(/^m1,2,3,/);
		expect(new TextDecoder().decode(bytesOf(await send("qThreadExtraInfo,3"))!)).toBe("worker: IDLE, is in user mode");
		expect(await send("T3")).toBe("OK");
		expect(await send("T77")).toBe("E02");
		expect(await send("Hg77")).toBe("E02");
		const registers = await send("g");
		expect(registers).toHaveLength(2 * (16 * 8 + 8 + 4 + 6 * 4 + 8 * 10 + 8 * 4 + 2 * 8));
		const address = await symbol("funcA");
		expect(await send(`m${address},5`)).toBe("0f1f440000");
		expect(await send("m1000,5")).toBe("E0e");
		for (const write of [`M${address},1:00`, `X${address},1:a`, "G00", "P10=00"]) expect(await send(write)).toBe("E01");
		expect(await send("vMustReplyEmpty")).toBe("");
	});
	test("breakpoints, steps and the way back; the guest's memory stays as it is", async () => {
		const { send, position, rip } = await client();
		const address = await symbol("lp1_funcA");
		expect(await send(`Z0,${address},1`)).toBe("OK");
		expect(await send("vCont;c")).toBe("T05thread:3;");
		expect((await rip()).toString(16)).toBe(address);
		expect(await send(`m${address},1`)).not.toBe("cc");
		const first = await position();
		await send("vCont;s:3");
		await send("vCont;s:3");
		expect(await rip()).not.toBe(BigInt(`0x${address}`));
		expect(await send("Hc3")).toBe("OK");
		await send("bs");
		await send("Hc3");
		await send("bs");
		expect(await position()).toBe(first);
		expect(await send("c")).toBe("T05thread:3;");
		const second = await position();
		expect(second).toBeGreaterThan(first);
		expect(await send("bc")).toBe("T05thread:3;");
		expect(await position()).toBe(first);
		expect(await send("bc")).toBe("T05thread:1;replaylog:begin;");
		expect(await position()).toBe(0);
		expect(await send(`z0,${address},1`)).toBe("OK");
		expect(await send("c")).toMatch(/^T05thread:\d+;replaylog:end;$/);
		expect(await position()).toBe(player.history.length);
	});
	test("a range is left in one move", async () => {
		const { send, rip } = await client();
		const address = await symbol("lp1_funcA");
		await send(`Z1,${address},1`);
		await send("vCont;c");
		await send(`vCont;r${address},${(BigInt(`0x${address}`) + 6n).toString(16)}:3;c`);
		expect(await rip()).toBeGreaterThanOrEqual(BigInt(`0x${address}`) + 6n);
	});
	test("watchpoints: writes forwards and backwards, reads", async () => {
		const { send, position, rip } = await client();
		const counter = dataSymbol("funcA_calls");
		expect(await send(`Z2,${counter},8`)).toBe("OK");
		expect(await send("c")).toBe(`T05thread:3;watch:${counter};`);
		const behind = await rip();
		const at = await position();
		expect(await send("bc")).toBe(`T05thread:3;watch:${counter};`);
		expect(await position()).toBeLessThan(at);
		expect(await rip()).toBeLessThan(behind);
		expect(await send("bc")).toBe("T05thread:1;replaylog:begin;");
		await send(`z2,${counter},8`);
		expect(await send(`Z3,${counter},8`)).toBe("OK");
		expect(await send("c")).toBe(`T05thread:3;rwatch:${counter};`);
		// The instruction that counts reads and writes.
		expect(await rip()).toBe(behind);
	});
	test("a position is the same machine on both Cpus", async () => {
		const other = await Player.record(parseScenario(text, file), { host: nodeHost(file), cpu: "unicorn" });
		expect(other.history.length).toBe(player.history.length);
		for (let i = 0; i <= 6; i++) {
			const position = Math.floor((player.history.length * i) / 6);
			const [a, b] = [await player.at(position), await other.at(position)];
			expect(b.threads).toEqual(a.threads);
			expect([b.klp, b.stacks, b.dmesg]).toEqual([a.klp, a.stacks, a.dmesg]);
		}
		other.close();
	});
	test("monitor: klp, dmesg, bt, step-scenario, and help for all other words", async () => {
		const { send, monitor } = await client();
		expect(await monitor("position")).toBe(`event 0 of ${player.history.length}, in step 1: run 5 rounds\n`);
		expect(await monitor("dmesg")).toBe("(nothing is printed yet)\n");
		expect(await monitor("step-scenario")).toBe("continue stops before: insmod lp1\n");
		expect(await send("c")).toBe("T05thread:1;");
		await monitor("step-scenario");
		await send("c");
		expect(await monitor("klp")).toContain("func_stack of funcA: [lp1_funcA]");
		expect(await monitor("position")).toMatch(/^event \d+ of \d+, in step 3: settle\n$/);
		expect(await monitor("dmesg")).toContain("livepatch: enabling patch 'lp1'");
		expect(await monitor("bt")).toContain("worker ");
		expect(await monitor("x")).toContain("monitor klp ");
		while (!(await send("c")).includes("replaylog:end")) await monitor("step-scenario");
		expect(await monitor("step-scenario")).toBe("the last step of the scenario: continue goes to its end\n");
	});
});

function dataSymbol(name: string): string {
	for (let ip = -0x7f00_0000; ip < -0x7e00_0000; ip += 8) {
		if (names(ip) === name) return BigInt.asUintN(64, BigInt(ip)).toString(16);
	}
	throw new Error(`no symbol ${name}`);
}

describe("the server", () => {
	/** Sends bytes, and returns all that comes until the server is quiet or closes. */
	async function talk(
		server: GdbServer,
		pieces: readonly Uint8Array[],
		until: (received: string) => boolean,
	): Promise<string> {
		return new Promise((resolve) => {
			const socket = connect(server.port, "127.0.0.1");
			let received = "";
			const done = () => {
				socket.destroy();
				resolve(received);
			};
			socket.on("data", (chunk) => {
				received += chunk.toString("latin1");
				if (until(received)) done();
			});
			socket.on("close", done);
			socket.on("error", done);
			for (const piece of pieces) socket.write(piece);
		});
	}
	const alive = async (server: GdbServer) => {
		const answer = await talk(server, [packetOf("qC")], (received) => received.includes("#"));
		expect(answer).toBe(`+${Buffer.from(packetOf("QC1")).toString("latin1")}`);
	};

	test("any bytes, floods, cut packets and clients that go do no harm", async () => {
		const server = await serveGdb(player, 0);
		try {
			const known = [
				"?",
				"g",
				"qSupported:x",
				"qC",
				"Hg0",
				"Hc-1",
				"vCont?",
				"m",
				"Z0,",
				"z9,0,0",
				"vCont;",
				"vFile:pread:3,",
				"qXfer:features:read:target.xml:",
				"qRcmd,",
				"T",
				"p",
				"X",
				"bs",
				"c",
			];
			const packet = fc.oneof(
				fc.string({ unit: "binary-ascii" }),
				fc.tuple(fc.constantFrom(...known), fc.string()).map(([head, more]) => head + more),
				fc
					.tuple(fc.constantFrom(...known), fc.stringMatching(/^[0-9a-f,:;-]{0,30}$/))
					.map(([head, more]) => head + more),
			);
			const piece = fc.oneof(
				fc.uint8Array({ maxLength: 100 }),
				packet.map((data) => packetOf(data)),
				packet.map((data) => latin1(`$${data}#00`)),
				packet.map((data) => packetOf(data).slice(0, -2)),
			);
			await fc.assert(
				fc.asyncProperty(fc.array(piece, { maxLength: 40 }), async (pieces) => {
					const end = packetOf("vMustReplyEmpty");
					await talk(server, [...pieces, latin1("00"), end, end, packetOf("D")], (received) =>
						received.includes("$OK#9a"),
					);
				}),
				{ seed: 1, numRuns: Number(process.env.KLPEMU_FUZZ ?? 0) > 0 ? 500 : 8 },
			);
			await alive(server);
			// 20,000 requests (a tenth in npm test) at once, of a client that reads nothing; and a line of ten megabytes.
			const socket = connect(server.port, "127.0.0.1");
			socket.on("error", () => {});
			socket.pause();
			const flood = Buffer.concat(Array.from({ length: LONG ? 20_000 : 2_000 }, () => packetOf("g")));
			socket.write(flood);
			// The server has begun to answer: to nobody who reads.
			await once(socket, "readable");
			socket.destroy();
			expect(
				await talk(server, [packetOf("m".repeat(10_000_000)), packetOf("qC")], (all) => all.includes("#")),
			).toMatch(/^-\+\$QC1#/);
			await alive(server);
		} finally {
			await server.close();
		}
	});
	test("one client after the other; replies are repeated for a nack; acknowledgements can be switched off", async () => {
		const server = await serveGdb(player, 0);
		try {
			const first = connect(server.port, "127.0.0.1");
			let text = "";
			first.on("data", (chunk) => {
				text += chunk.toString("latin1");
			});
			first.write(packetOf("qC"));
			await expect.poll(() => text).toContain("#");
			const second = talk(server, [packetOf("qC")], (all) => all.includes("#"));
			first.write("-");
			first.write(packetOf("QStartNoAckMode"));
			first.write(packetOf("qAttached"));
			await expect.poll(() => text).toContain("$1#");
			expect(text).toMatch(/^\+\$QC1#c5\$QC1#c5\+\$OK#9a\$1#31$/);
			const left = server.clientLeft();
			first.destroy();
			await left;
			expect(await second).toBe("+$QC1#c5");
		} finally {
			await server.close();
		}
	});
	test("a port that is taken or none, and a file that is no scenario, are clear errors", async () => {
		const server = await serveGdb(player, 0);
		try {
			const { status, stderr } = await cliOf(["gdb", file, "--port", String(server.port)]);
			expect(status).toBe(2);
			expect(stderr).toContain("EADDRINUSE");
		} finally {
			await server.close();
		}
		expect(await cliOf(["gdb", file, "--port", "65536"])).toMatchObject({ status: 2 });
		expect(await cliOf(["gdb", "nothing.yaml"])).toMatchObject({ status: 2 });
	});
});
