/** klpemu compare: the transcripts of real kernels agree, and each kind of difference is found. */
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { emulatedResults, recordedResults } from "../../../src/node/compare/commands.js";
import { compareTranscript, errnoOf, parseTranscript, TIMING } from "../../../src/node/compare/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { withTemporaryFolder } from "../../../src/node/temporary.js";
import { parseScenario } from "../../../src/scenario/index.js";
import { cliOf } from "../../support/cli.js";
import { sample } from "../../support/sample.js";
import { KERNEL_MODULES, NO_KERNEL_MODULES, skipBecause } from "../../support/skip.js";

const RECORDED = "test/golden/transcripts/linux-6.12-mainline-order.txt";

async function compare(file: string, transcript: string) {
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	const { differences, timing, ...counts } = await compareTranscript(scenario, parseTranscript(transcript), {
		host: nodeHost(file),
	});
	return {
		differences: differences.map(({ at, message }) => `${at}: ${message}`),
		timing: Object.fromEntries(timing),
		...counts,
	};
}

test.each([
	["scenarios/mainline-order.yaml", RECORDED, { states: 14, facts: 403, commands: 11, lines: 19 }],
	[
		"scenarios/rfc-petr.yaml",
		"test/golden/transcripts/linux-6.12-rfc-petr.txt",
		{ states: 8, facts: 271, commands: 9, lines: 23 },
	],
] as const)("%s agrees with what was recorded", async (file, recorded, counts) => {
	const { status, stdout } = await cliOf(["compare", file, recorded, "--json"]);
	expect(JSON.parse(stdout)).toMatchObject({
		...{ schema: 1, agrees: true, differences: [], timing: { retries: 3 }, ...counts },
		// Each line of the recorder is understood.
		notes: [],
	});
	expect(status).toBe(0);
});

describe("each kind of difference is found", () => {
	const recorded = readFileSync(RECORDED, "utf8");
	const changed = async (from: string | RegExp, to: string) => {
		const text = recorded.replace(from, to);
		expect(text).not.toBe(recorded);
		return (await compare("scenarios/mainline-order.yaml", text)).differences;
	};
	const stuck = "2.5 s later: lp3 transition stuck on H";

	const CHANGES = [
		[
			"view",
			/(STATE: 2\.5 s(?:.*\n)+?.*task U .*funcA=)orig/,
			"$1lp1",
			`${stuck}: U: funcA: here original, on the real kernel lp1`,
		],
		[
			"patch_state",
			/(STATE: 2\.5 s(?:.*\n)+?.*task H .*patch_state=) 0/,
			"$1 1",
			`${stuck}: H: patch_state: here UNPATCHED, on the real kernel PATCHED`,
		],
		[
			"pending",
			/(STATE: 2\.5 s(?:.*\n)+?.*task H .*pending=)1/,
			"$10",
			`${stuck}: H: pending: here true, on the real kernel false`,
		],
		[
			"inside",
			/(STATE: 2\.5 s(?:.*\n)+?.*task H .*in=)lp2_funcB/,
			"$1orig funcB",
			`${stuck}: H: in: here lp2_funcB, on the real kernel funcB`,
		],
		["sysfs", /(STATE: 2\.5 s.*\n.*enabled=)1/, "$10", `${stuck}: lp1/enabled: here 1, on the real kernel 0`],
		["patched", /(STATE: 2\.5 s.*\n.*patched=)1/, "$10", `${stuck}: lp1/vmlinux/patched: here 1, on the real kernel 0`],
		["refcount", /(STATE: 2\.5 s.*\n.*refcnt=)1/, "$12", `${stuck}: refcnt of lp1: here 1, on the real kernel 2`],
		[
			"a livepatch less",
			/(STATE: 2\.5 s.*\n).*lp1: .*\n/,
			"$1",
			`${stuck}: livepatches in sysfs: here lp1 lp2 lp3, on the real kernel lp2 lp3`,
		],
		[
			"enabled_functions",
			/(STATE: 2\.5 s(?:.*\n)+?).*ftrace funcA.*\n/,
			"$1",
			`${stuck}: functions with a livepatch: here funcA funcB, on the real kernel funcB`,
		],
		[
			"errno",
			"ERROR: could not insert module /mods/lp4.ko: Device or resource busy",
			"could not insert: File exists",
			"command 4: here 'insmod lp4 EBUSY', on the real kernel 'insmod lp4 EEXIST'",
		],
	] as const;
	test.each(sample(CHANGES, 3))("%s", async (_kind, from, to, expected) => {
		expect(await changed(from, to)).toEqual([expected]);
	});

	test("dmesg in another order, and a line that is missing", async () => {
		const line = "livepatch: 'lp2': completing patching transition";
		const [difference, ...others] = await changed(new RegExp(`.*${line}\n`), "");
		expect(others).toEqual([]);
		expect(difference).toContain(`-${line}`);
	});
	test("a command that is missing: the text says it, and the exit status is 1", async () => {
		const without = recorded.replace(/.*\$ rmmod lp2\n.*rc=0\n/, "");
		const { status, stdout } = await withTemporaryFolder(async (folder) => {
			await writeFile(join(folder, "t.txt"), without);
			return cliOf(["compare", "scenarios/mainline-order.yaml", join(folder, "t.txt"), "--design", "mainline"]);
		});
		expect(stdout).toBe(`differs in 1 places: 14 states (403 facts), 10 commands, 19 lines of dmesg
  command 7: here 'rmmod lp2 0', on the real kernel 'echo 1 > lp3/enabled EINVAL'
timing, which does not count:
  retries, 3 x: ${TIMING.retries}
`);
		expect(status).toBe(1);
	});
	test("a transcript that was cut", async () => {
		expect(await changed(/.*### END[\s\S]*/, "")).toEqual([
			"end: the transcript has no END: the recorder did not come to its end",
		]);
	});
	test("a state that the scenario has not", async () => {
		const differences = await changed("STATE: lp1 enabled", "STATE: lp1 is enabled");
		expect(differences).toEqual([
			"lp1 is enabled: the scenario has no such step: did you mean 'lp1 enabled'?",
			"state: lp1 enabled: the transcript has no such state",
		]);
	});
	test("a transcript of another scenario is bad input", async () => {
		await expect(compare("scenarios/force.yaml", recorded)).rejects.toMatchObject({ code: "COMPARE_OTHER_SCENARIO" });
	});
});

test("the commands of a transcript are the scenario's steps, however they are written", () => {
	const command = (command: string, output: readonly string[] = []) =>
		({ kind: "command", command, rc: output.length, output }) as const;
	const events = [
		command("modprobe lp1"),
		command("modprobe -r lp1"),
		command("insmod /mods/other.ko"),
		command("echo 1 > $KL/lp1/enabled"),
		command("echo '$((! x))' > $KL/$(in_transition)/enabled", ["sh: write error: Invalid argument"]),
		command("echo 'register counter' > /proc/klpkit"),
		command("cat /proc/1/patch_state"),
	];
	const recorded = recordedResults({ design: undefined, kit: true, complete: true, events }, new Set(["lp1"]));
	expect(recorded).toEqual([
		...["insmod lp1 0", "rmmod lp1 0", "echo 1 > lp1/enabled 0", "echo * > */enabled EINVAL", "register counter 0"],
	]);
	const file = "commands.yaml";
	const steps =
		"[insmod: lp1, rmmod: lp1, enable: lp1, reverse, force, disable: lp1, { echo: { path: lp1/enabled, value: 0 } }]";
	const scenario = `title: t\nvmlinux: [a.c]\nlivepatches: { lp1: { sources: [b.c], funcs: { f: g } } }\nsteps: ${steps}\n`;
	const made = parseScenario(scenario, file).steps.map((step, index) => ({ step, errno: [0, -16, -1000][index] ?? 0 }));
	expect(emulatedResults(made, new Set())).toEqual([
		...["insmod lp1 0", "rmmod lp1 EBUSY", "echo 1 > lp1/enabled -1000", "echo * > */enabled 0", "echo 1 > */force 0"],
		...["echo 0 > lp1/enabled 0", "echo 0 > lp1/enabled 0"],
	]);
});

test("a selftest's transcript is compared line by line", async ({ skip }) => {
	if (!existsSync(KERNEL_MODULES)) skipBecause(skip, NO_KERNEL_MODULES);
	const file = "scenarios/selftests/test-ftrace.yaml";
	const dmesg = readFileSync("scenarios/selftests/test-ftrace.dmesg", "utf8");
	expect((await compare(file, dmesg)).differences).toEqual([]);
	const [difference, ...others] = (await compare(file, dmesg.replace("enabling patch", "enabling batch"))).differences;
	expect(others).toEqual([]);
	expect(difference).toMatch(/^dmesg: the lines are not the same:\n[\s\S]*\n\+livepatch: enabling batch/);
	await expect(compare(file, "nothing of it\n")).rejects.toMatchObject({ code: "COMPARE_OTHER_SCENARIO" });
});

test("the real kernel may be further, for 3 s", async () => {
	// In the record, lp1's transition is complete at once; before that it was open for a second.
	const early = readFileSync(RECORDED, "utf8").replace(
		/(STATE: lp3 complete\n(?:.*\n)*?.*lp3: enabled=1 transition=)0/,
		"$11",
	);
	const scenario = readFileSync("scenarios/mainline-order.yaml", "utf8").replace(
		"- settle\n  - exit: H\n",
		"- exit: H\n",
	);
	const parsed = parseScenario(scenario, "scenarios/mainline-order.yaml");
	const transcript = parseTranscript(early.replace("transition=1", "transition=0"));
	const options = { host: nodeHost("scenarios/mainline-order.yaml") };
	const { timing, differences } = await compareTranscript(parsed, transcript, options);
	expect(timing.get("later")).toBeGreaterThan(0);
	expect(differences.filter(({ at }) => at === "lp3 complete")).toEqual([]);
});

describe("a transcript", () => {
	test("of a kit: BEGIN, steps, notes, counters of ops, lines that do not fit on one", () => {
		const { events, ...rest } = parseTranscript(`noise of a shell
sh: write error: Invalid argument<6>[    1.0] [    T1] ### BEGIN busy\r
sh: write error: Invalid argument[    1.0] ### kernel Linux
[    1.0] ### design mainline
[    1.0] ### cannot: step 2: luck
[    1.0] ### === step 1: insmod lp1
[    1.0] ### $ insmod ./lp1.ko
[    1.0] ###    insmod: can't insert './lp1.ko': Device or resource busy
[    1.0] ###    rc=1
[    1.0] ### --- STATE: step 1: insmod lp1
[    1.0] ###     /sys/kernel/livepatch/lp1: enabled=1 transition=0 kind=high refcnt=1 vmlinux{patched=1: f,1} other{patched=0:}
[    1.0] ###     task W/0      pid=7    user    in=-                  patch_state=-1 pending=0 funcA=lp1 other:f=? funcC=my_c
[    1.0] ###     task W/0      funcE=orig
[    1.0] ###     /proc/PID/patch_state: shell(1)=-1 W/0(7)=-1
[    1.0] ###     modules: lp1=1 other=-1
[    1.0] ###     ftrace funcA [klp_target] (2) R I     M \ttramp
[    1.0] ###     ftrace funcB (1)
[    1.0] ###     ops counter 17
[    1.0] ### END
[    1.0] ### LEFT lp1
`);
		expect(rest).toEqual({ design: "mainline", kit: true, complete: true });
		expect(events.filter(({ kind }) => kind !== "state")).toEqual([
			{ kind: "dmesg", line: "noise of a shell" },
			{ kind: "note", line: "BEGIN busy" },
			{ kind: "note", line: "kernel Linux" },
			{ kind: "note", line: "design mainline" },
			{ kind: "note", line: "cannot: step 2: luck" },
			{ kind: "heading", title: "step 1: insmod lp1" },
			{
				kind: "command",
				command: "insmod ./lp1.ko",
				rc: 1,
				output: ["insmod: can't insert './lp1.ko': Device or resource busy"],
			},
		]);
		expect(events.find(({ kind }) => kind === "state")).toEqual({
			kind: "state",
			title: "step 1: insmod lp1",
			sysfs: {
				"lp1/enabled": 1,
				"lp1/kind": "high",
				"lp1/transition": 0,
				"lp1/vmlinux/patched": 1,
				"lp1/vmlinux/f,1": 1,
				"lp1/other/patched": 0,
			},
			refcnt: { lp1: 1, other: -1 },
			tasks: {
				"W/0": {
					in: undefined,
					patch_state: "IDLE",
					pending: false,
					view: { funcA: "lp1", funcC: "my_c", funcE: "original" },
					pid: 7,
				},
			},
			patch_states: { shell: { pid: 1, value: -1 }, "W/0": { pid: 7, value: -1 } },
			ftrace: { funcA: { ops: 2, ipmodify: true }, funcB: { ops: 1, ipmodify: false } },
			calls: { counter: 17 },
		});
	});

	test.each([
		["sh: write error: Invalid argument", "EINVAL"],
		["rmmod: can't unload module 'lp3': Resource temporarily unavailable", "EAGAIN"],
		["rmmod: ERROR: Module lp3 is in use", "EAGAIN"],
		["insmod: ERROR: could not insert module x.ko: No such device", "ENODEV"],
		["./run.sh: can't create /sys/x: nonexistent directory", "ENOENT"],
		["insmod: ERROR: could not insert module x.ko: Numerical result out of range", "ERANGE"],
		["sh: write error: Text file busy", "ETXTBSY"],
		["insmod: can't insert 'x.ko': No such device or address", "ENXIO"],
		["sh: write error: Resource busy", "EBUSY"],
		["sh: write error: Not supported", "EOPNOTSUPP"],
		["something else", "?"],
	])("the errno behind '%s' is %s", (text, errno) => {
		expect(errnoOf({ kind: "command", command: "x", rc: 1, output: [text] })).toBe(errno);
		expect(errnoOf({ kind: "command", command: "x", rc: 0, output: [text] })).toBe("0");
	});
});
