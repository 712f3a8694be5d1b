import assert from "node:assert/strict";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import protobuf from "protobufjs";
import { beforeAll, describe, expect, test } from "vitest";
import { cliOf } from "../../support/cli.js";

const SCHEDULE = "test/consistency/schedules/hybrid-lp1-lp2-lp3.replace-tag-draft.mixed-universe.schedule";
const folder = mkdtempSync(join(tmpdir(), "klpemu-traces-"));
const path = (name: string) => join(folder, name);

/** What protobufjs makes of a trace, in the names of test/report/perfetto.proto. */
interface Packet {
	readonly timestamp?: string;
	readonly trustedPacketSequenceId: number;
	readonly sequenceFlags: number;
	readonly firstPacketOnSequence?: boolean;
	readonly internedData?: Readonly<Record<string, readonly { readonly iid: string; readonly name: string }[]>>;
	readonly trackDescriptor?: {
		readonly uuid: string;
		readonly name?: string;
		readonly parentUuid?: string;
		readonly process?: { readonly pid: number; readonly processName: string };
		readonly thread?: { readonly pid: number; readonly tid: number; readonly threadName: string };
	};
	readonly trackEvent?: {
		readonly type: string;
		readonly trackUuid: string;
		readonly nameIid?: string;
		readonly categoryIids?: readonly string[];
		readonly flowIds?: readonly string[];
		readonly terminatingFlowIds?: readonly string[];
		readonly debugAnnotations?: readonly Readonly<Record<string, string>>[];
	};
}

interface Event {
	readonly at: number;
	readonly type: string;
	readonly track: string;
	readonly name: string;
	readonly category: string;
	readonly flows: readonly string[];
	readonly ends: readonly string[];
	readonly details: Readonly<Record<string, string>>;
}

/** The names of tracks by uuid, with those above them: `CPUs/CPU 0`. Checks all that a reader of the format relies on. */
function read(file: string) {
	const Trace = protobuf.loadSync("test/report/perfetto.proto").lookupType("Trace");
	const decoded = Trace.toObject(Trace.decode(readFileSync(file)), { longs: String, enums: String });
	const packets = decoded.packet as readonly Packet[];
	const tracks = new Map<string, { readonly name: string; readonly parent: string | undefined }>();
	const strings: Readonly<Record<string, Map<string, string>>> = {
		eventNames: new Map(),
		eventCategories: new Map(),
		debugAnnotationNames: new Map(),
	};
	const events: Event[] = [];
	for (const [index, packet] of packets.entries()) {
		assert.equal(packet.trustedPacketSequenceId, 1);
		// SEQ_NEEDS_INCREMENTAL_STATE, and in the first packet SEQ_INCREMENTAL_STATE_CLEARED.
		assert.equal(packet.sequenceFlags, index === 0 ? 3 : 2);
		assert.equal(packet.firstPacketOnSequence ?? false, index === 0);
		for (const [table, entries] of Object.entries(packet.internedData ?? {})) {
			for (const { iid, name } of entries) {
				assert.equal(strings[table]!.has(iid), false);
				strings[table]!.set(iid, name);
			}
		}
		const { trackDescriptor: track, trackEvent: event } = packet;
		if (track !== undefined) {
			assert.equal(tracks.has(track.uuid), false);
			const name = track.name ?? track.thread?.threadName ?? track.process!.processName;
			if (track.parentUuid !== undefined) assert.equal(tracks.has(track.parentUuid), true);
			tracks.set(track.uuid, { name, parent: track.parentUuid });
		}
		if (event === undefined) continue;
		assert.equal(tracks.has(event.trackUuid), true);
		const string = (table: string, iid: string | undefined) => {
			if (iid === undefined) return "";
			assert.equal(strings[table]!.has(iid), true);
			return strings[table]!.get(iid)!;
		};
		const details = (event.debugAnnotations ?? []).map(
			({ nameIid, stringValue, uintValue }) =>
				[string("debugAnnotationNames", nameIid), stringValue ?? uintValue!] as const,
		);
		events.push({
			at: Number(packet.timestamp),
			type: event.type,
			track: event.trackUuid,
			name: string("eventNames", event.nameIid),
			category: string("eventCategories", event.categoryIids?.[0]),
			flows: event.flowIds ?? [],
			ends: event.terminatingFlowIds ?? [],
			details: Object.fromEntries(details),
		});
	}
	const named = (uuid: string): string => {
		const { name, parent } = tracks.get(uuid)!;
		return parent === undefined ? name : `${named(parent)}/${name}`;
	};
	return { tracks: [...tracks.keys()].map(named), named, events };
}

/** Slices of each track are balanced, their times never go back, and each arrow begins once and ends once, later. */
function expectSound({ events }: ReturnType<typeof read>): void {
	const depths = new Map<string, number>();
	const arrows = new Map<string, number>();
	let last = 0;
	for (const { at, type, track, flows, ends } of events) {
		assert.ok(at >= last);
		last = at;
		const depth = (depths.get(track) ?? 0) + (type === "TYPE_SLICE_BEGIN" ? 1 : type === "TYPE_SLICE_END" ? -1 : 0);
		assert.ok(depth >= 0);
		depths.set(track, depth);
		for (const id of flows) {
			assert.equal(arrows.has(id), false);
			arrows.set(id, 1);
		}
		for (const id of ends) {
			assert.equal(arrows.get(id), 1);
			arrows.set(id, 2);
		}
	}
	assert.equal(
		[...depths.values()].every((depth) => depth === 0),
		true,
	);
	assert.equal(
		[...arrows.values()].every((state) => state === 2),
		true,
	);
}

describe("klpemu run", () => {
	let trace: ReturnType<typeof read>;
	let report: { readonly violations: readonly unknown[]; readonly steps: readonly unknown[] };
	beforeAll(async () => {
		const files = ["--trace", path("a.pftrace"), "--ftrace", path("a.txt"), "--trace-cmd", path("a.report")];
		const { status, stdout } = await cliOf(["run", "scenarios/hybrid-lp1-lp2-lp3.yaml", "--json", ...files]);
		expect(status).toBe(0);
		report = JSON.parse(stdout);
		trace = read(path("a.pftrace"));
	});
	const of = (category: string) => trace.events.filter((event) => event.category === category);

	test("--trace: packets, strings, tracks, slices and arrows are sound", () => {
		expectSound(trace);
		expect(trace.events.length).toBeGreaterThan(1000);
	});
	test("--trace: a track for each CPU and each task, with its patch_state", () => {
		const [root] = trace.tracks;
		expect(root).toMatch(/\(rfc-2025\)$/);
		const all = ["CPUs/CPU 0", "CPUs/CPU 1", "scenario", "transition", "shell", "kworker/0:1", "sleeper"];
		expect(trace.tracks).toEqual(expect.arrayContaining(all.map((name) => `${root}/${name}`)));
		expect(trace.tracks).toContain(`${root}/sleeper/patch_state`);
	});
	test("--trace: slices of steps, of tasks on CPUs, of functions, also the redirected ones", () => {
		expect(of("step").filter(({ type }) => type === "TYPE_SLICE_BEGIN")).toHaveLength(report.steps.length);
		const redirected = of("function").filter(({ name }) => name === "lp1_funcA [lp1]");
		expect(redirected.length).toBeGreaterThan(0);
		expect(redirected[0]!.details).toMatchObject({ parent: "do_syscall_64", "instead of": "funcA" });
		expect(new Set(of("task").map(({ name }) => name))).toContain("worker/0");
		expect(of("transition").map(({ name }) => name)).toContain("lp2 -> PATCHED");
	});
	test("--trace: instants of switches, pokes and violations; the report has the same violations", () => {
		expect(of("violation")).toHaveLength(report.violations.length);
		expect(of("violation").length).toBeGreaterThan(0);
		expect(of("text_poke")[0]!.details.sites).toMatch(/\w+\+0x/);
		expect(of("switch").map(({ name }) => name)).toContain("UNPATCHED -> PATCHED");
	});
	test("--trace: an arrow from the act of a task to the task that it switches", () => {
		const acts = trace.events.filter(({ flows }) => flows.length > 0);
		const [act] = acts.filter(({ name }) => name.startsWith("klp_try_switch_task"));
		const target = trace.events.find(({ ends }) => ends.includes(act!.flows[0]!))!;
		expect(target.name).toBe("UNPATCHED -> PATCHED");
		expect(target.track).not.toBe(act!.track);
	});
	test("--ftrace: the header of the function tracer, and lines in its format, in the order of time", () => {
		const lines = readFileSync(path("a.txt"), "utf8").trimEnd().split("\n");
		expect(lines[0]).toBe("# tracer: function");
		expect(lines[2]).toBe(`# entries-in-buffer/entries-written: ${lines.length - 12}/${lines.length - 12}   #P:2`);
		const format = /^ *(\S+)-(\d+) +\[(\d{3})\] [.dnNpHhsZz0-9]{5} +(\d+\.\d{6}): (\S.*)$/;
		const entries = lines.slice(12).map((line) => format.exec(line)!);
		expect(entries.every((entry) => entry !== null)).toBe(true);
		const times = entries.map(([, , , , time]) => Number(time));
		expect(times).toEqual([...times].sort((a, b) => a - b));
		expect(lines.some((line) => line.endsWith(": lp1_funcA [lp1] <-do_syscall_64"))).toBe(true);
		// klp_ftrace_handler() and the trampoline have no call site.
		expect(lines.join("\n")).not.toMatch(/: (klp_ftrace_handler|ftrace_)\S* <-/);
	});
	test("--trace-cmd: the same entries, as trace-cmd report prints them", () => {
		const lines = readFileSync(path("a.report"), "utf8").trimEnd().split("\n");
		expect(lines[0]).toBe("cpus=2");
		const format =
			/^ *\S+-\d+ +\[\d{3}\] +\d+\.\d{6}: (?:function: {13}\S.* <-- \S.*|print: {16}tracing_mark_write: .*)$/;
		expect(lines.slice(1).filter((line) => !format.test(line))).toEqual([]);
		expect(lines).toHaveLength(readFileSync(path("a.txt"), "utf8").trimEnd().split("\n").length - 12 + 1);
	});
	test("a recorder changes nothing: the report is the same without one; equal runs give equal traces", async () => {
		const again = ["--trace", path("b.pftrace")];
		const plain = await cliOf(["run", "scenarios/hybrid-lp1-lp2-lp3.yaml", "--json"]);
		expect(JSON.parse(plain.stdout)).toEqual(report);
		await cliOf(["run", "scenarios/hybrid-lp1-lp2-lp3.yaml", ...again]);
		expect(readFileSync(path("b.pftrace")).equals(readFileSync(path("a.pftrace")))).toBe(true);
	});
});

test("both Cpus report the same instructions, with the same registers: their traces are equal", async () => {
	for (const cpu of ["jit", "unicorn"]) {
		const files = ["--trace", path(`${cpu}.pftrace`), "--ftrace", path(`${cpu}.txt`)];
		expect((await cliOf(["run", "scenarios/reverse.yaml", "--cpu", cpu, ...files])).status).toBe(0);
	}
	expect(readFileSync(path("unicorn.txt"), "utf8")).toBe(readFileSync(path("jit.txt"), "utf8"));
	expect(readFileSync(path("unicorn.pftrace")).equals(readFileSync(path("jit.pftrace")))).toBe(true);
});

describe("klpemu replay", () => {
	let stdout = "";
	beforeAll(async () => {
		const files = [
			"--trace",
			path("c.pftrace"),
			"--ftrace",
			path("c.txt"),
			"--svg",
			path("c.svg"),
			"--junit",
			path("c.xml"),
		];
		const result = await cliOf(["replay", SCHEDULE, "--ktap", ...files]);
		expect(result.status).toBe(0);
		stdout = result.stdout;
	});

	test("--trace: moves, tasks, switches, and the violation", () => {
		const trace = read(path("c.pftrace"));
		expectSound(trace);
		const categories = new Set(trace.events.map(({ category }) => category));
		for (const category of ["step", "task", "function", "switch", "violation", "kernel"])
			expect(categories).toContain(category);
		const violation = trace.events.find(({ category }) => category === "violation")!;
		expect(violation.name).toBe("mixed-universe");
	});
	test("--ftrace: calls of the tasks that move", () => {
		expect(readFileSync(path("c.txt"), "utf8")).toMatch(/: lp\d_func\w+ \[lp\d\] <-do_syscall_64$/m);
	});
	test("--ktap, --junit and --svg: each move is a step; what the schedule says is expected", () => {
		const moves = readFileSync(SCHEDULE, "utf8").trimEnd().split("moves:\n")[1]!.split("\n").length;
		expect(stdout).toContain(`KTAP version 1\n1..${moves + 1}\nok 1 `);
		expect(stdout).toMatch(/^ok \d+ violated, as the scenario expects$/m);
		expect(readFileSync(path("c.xml"), "utf8")).toContain(`<testsuites tests="${moves}" failures="0">`);
		expect(readFileSync(path("c.svg"), "utf8").match(/<line class="step"/g)).toHaveLength(moves);
	});
});

test("an output file must not be the input", async () => {
	const { status, stderr } = await cliOf(["replay", SCHEDULE, "--trace", SCHEDULE]);
	expect(status).toBe(2);
	expect(stderr).toContain("--trace");
});
