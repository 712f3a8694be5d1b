/** Commands as processes: standard output on a full disk, signals, a reader that goes. What was found is saved, and no file is torn. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
	closeSync,
	constants,
	existsSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	readlinkSync,
	rmSync,
	statSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT } from "../../../src/node/index.js";
import { bundled } from "../../support/bundled.js";
import { ENDLESS, ENDLESS_RACE, WITHOUT_END } from "../../support/small-scenario.js";

const HYBRID = "scenarios/hybrid-lp1-lp2-lp3.yaml";
const OBJECT = "asm/prebuilt/livepatches/lp1.o";
const SCHEDULE = "test/consistency/schedules/hybrid-lp1-lp2-lp3.rfc-2025.mixed-universe.schedule";
/** One short search. */
const CAMPAIGN = ".cache/interrupted/campaign.yaml";
const PART = ".cache/interrupted/part.json";

let command = "";
let folder = "";
beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
	command = await bundled("interrupted");
	writeFileSync(join(PROJECT, CAMPAIGN), `scenarios: [${join(PROJECT, HYBRID)}]\ndesigns: [rfc-2025]\nstates: 1000\n`);
	const { stdout } = await start([
		"explore",
		"scenarios/force.yaml",
		"--design",
		"mainline",
		"--json",
		"--shard",
		"1/1",
	]).end;
	writeFileSync(join(PROJECT, PART), stdout);
	writeFileSync(join(folder, "lines"), '{"id":1,"code":"48ffc0","at":"0x10000000"}\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** `before`: commands of a shell, whose place the command takes. */
function start(
	args: readonly string[],
	stdio: { stdin?: number; stdout?: number; stderr?: number } = {},
	before = ":",
) {
	const child = spawn("/bin/sh", ["-c", `${before}\nexec "$@"`, "sh", process.execPath, command, ...args], {
		cwd: PROJECT,
		env: { ...process.env, NO_COLOR: "1" },
		stdio: [stdio.stdin ?? "pipe", stdio.stdout ?? "pipe", stdio.stderr ?? "pipe"],
	});
	const printed = { stdout: "", stderr: "" };
	child.stdout?.on("data", (text) => (printed.stdout += text));
	child.stderr?.on("data", (text) => (printed.stderr += text));
	const end = once(child, "close").then(([status, signal]) => ({ status, signal, ...printed }));
	return { child, printed, end };
}

/** A pipe that is full and that nobody empties: a process that writes into it gets to the middle of its file, and no further. */
function fullPipe(): { path: string; close(): void } {
	const path = join(mkdtempSync(join(folder, "pipe-")), "pipe");
	execFileSync("mkfifo", [path]);
	const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
	try {
		for (;;) writeSync(pipe, Buffer.alloc(4096));
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
	}
	return { path, close: () => closeSync(pipe) };
}

/** Waits until the process has opened the file. */
async function hasOpened({ pid }: ChildProcess, file: string): Promise<void> {
	const fds = `/proc/${pid}/fd`;
	const files = () =>
		readdirSync(fds).map((fd) => {
			try {
				return readlinkSync(join(fds, fd));
			} catch {
				// It has closed this one in between.
				return "";
			}
		});
	await expect.poll(files).toContain(file);
}

/** Waits until the process has printed that. */
const until = (printed: () => string, text: RegExp) => expect.poll(printed).toMatch(text);

describe.skipIf(!existsSync("/dev/full"))("standard output is a full disk: status 2, and the reason", () => {
	const full = () => openSync("/dev/full", "w");

	test.each([
		["--help"],
		["run", HYBRID],
		["run", HYBRID, "--json"],
		["explore", HYBRID, "--budget", "100"],
		["replay", SCHEDULE],
		["replay", SCHEDULE, "--story"],
		["selftest", "test-state"],
		["exec"],
		["disasm", "asm/livepatches/lp1.c"],
		["check", "asm/prebuilt/livepatches/lp1.o"],
		["gdb", HYBRID, "--port", "0"],
		["serve", "--port", "0", "--folder", "web"],
		["campaign", CAMPAIGN],
		["merge", PART],
		["kit", "scenarios/force.yaml", "--out", ".cache/interrupted/kit"],
		["compare", "scenarios/mainline-order.yaml", "test/golden/transcripts/linux-6.12-mainline-order.txt"],
		["designs"],
		["doctor"],
		["completion", "bash"],
	])("%s %s", async (...args) => {
		const stdin = openSync(join(folder, "lines"), "r");
		const { status, stderr } = await start(args, { stdin, stdout: full() }).end;
		expect(stderr).toMatch(/^klpemu: cannot write to standard output: ENOSPC$/m);
		expect(status).toBe(2);
	});

	test("what is to be saved is saved: of run, replay and explore", async () => {
		const to = (name: string) => join(folder, name);
		const files = ["--trace", to("trace"), "--junit", to("junit"), "--svg", to("svg")];
		for (const args of [
			["run", HYBRID, ...files],
			["replay", SCHEDULE, ...files],
			["explore", HYBRID, "--design", "rfc-2025", "--save", to("saved")],
		]) {
			for (const name of ["trace", "junit", "svg"]) rmSync(to(name), { force: true });
			expect((await start(args, { stdout: full() }).end).status).toBe(2);
			if (args[0] === "explore") expect(readdirSync(to("saved"))).toHaveLength(1);
			else expect(readdirSync(folder).sort()).toEqual(["junit", "lines", "svg", "trace"]);
			rmSync(to("saved"), { recursive: true, force: true });
		}
	});

	test("what is to be saved is saved: of campaign, kit", async () => {
		const html = join(folder, "html");
		expect((await start(["campaign", CAMPAIGN, "--html", html], { stdout: full() }).end).status).toBe(2);
		expect(readFileSync(html, "utf8")).toMatch(/<\/html>\s*$/);
		rmSync(html);
		const kit = join(folder, "kit");
		expect((await start(["kit", "scenarios/force.yaml", "--out", kit], { stdout: full() }).end).status).toBe(2);
		expect(readdirSync(kit)).toContain("run.sh");
		rmSync(kit, { recursive: true });
	});

	test("standard error is one: the status and the result are what they would be", async () => {
		const run = await start(["run", HYBRID], { stderr: full() }).end;
		expect([run.status, run.stdout]).toEqual([0, expect.stringContaining("VIOLATED")]);
		expect((await start(["nothing"], { stderr: full() }).end).status).toBe(2);
	});

	test("a file that cannot be written: the others are, and the result is printed", async () => {
		const place = mkdtempSync(join(folder, "files-"));
		const args = ["run", HYBRID, "--junit", join(place, "junit"), "--svg", join(place, "svg")];
		// Each file is written beside its place first.
		const { status, stdout, stderr } = await start(args, {}, `ln -s /dev/full ${place}/junit.$$.tmp`).end;
		expect(stderr).toMatch(/^cannot write '.*junit': ENOSPC$/m);
		expect([status, stdout]).toEqual([2, expect.stringContaining("VIOLATED")]);
		expect(readdirSync(place)).toEqual(["svg"]);
		rmSync(place, { recursive: true });
	});
});

describe("a limit of the size of files (ulimit -f): what is known is printed, status 2, and no file is torn", () => {
	test.each([
		["run", 4, ["run", HYBRID, "--trace", "FILE"], "VIOLATED", /^cannot write '.*file': EFBIG$/m],
		["campaign", 1, ["campaign", CAMPAIGN, "--html", "FILE"], "rfc-2025", /^cannot write '.*file': EFBIG$/m],
		["kernel build", 4, ["kernel", "build", "--out", "FILE"], "", /tar.xz: tar does not read it: exit status 153$/m],
	])("%s", async (_name, blocks, args, known, message) => {
		const place = mkdtempSync(join(folder, "limit-"));
		const given = args.map((arg) => (arg === "FILE" ? join(place, "file") : arg));
		const { status, stdout, stderr } = await start(given, {}, `ulimit -f ${blocks}`).end;
		expect([status, stderr]).toEqual([2, expect.stringMatching(message)]);
		expect(stdout).toContain(known);
		expect(readdirSync(place)).toEqual([]);
		rmSync(place, { recursive: true });
	});
});

describe("temporary files that cannot be written: status 2, and what to do", () => {
	test.each([
		["no folder", "export TMPDIR=/nowhere", "/nowhere': ENOENT"],
		["no folder, but a device", "export TMPDIR=/dev/null", "/dev/null': ENOTDIR"],
		["no room", "ulimit -f 0", "klpemu-\\w+': EFBIG"],
	])("%s", async (_, before, message) => {
		const { status, stdout, stderr } = await start(["kernel", "build", "--out", join(folder, "core")], {}, before).end;
		expect(stderr).toMatch(new RegExp(`^cannot write temporary files in '.*${message}\n  hint: set TMPDIR`));
		expect([status, stdout, existsSync(join(folder, "core"))]).toEqual([2, "", false]);
	});
});

describe("a signal", () => {
	test.each(["SIGINT", "SIGTERM"] as const)("campaign prints what is known, and writes it: %s", async (signal) => {
		const html = join(folder, "html");
		writeFileSync(join(folder, "endless.yaml"), ENDLESS_RACE);
		const endless = join(folder, "campaign.yaml");
		writeFileSync(endless, "scenarios: [endless.yaml]\ndesigns: all\nstates: 100000000\nseconds: 3600\n");
		const { child, printed, end } = start(["campaign", endless, "--jobs", "1", "--html", html]);
		await until(() => printed.stderr, /of \d+ searches, [1-9]\d* states/);
		child.kill(signal);
		const { status, stdout, stderr } = await end;
		expect([status, stdout]).toEqual([3, expect.stringMatching(/ open /)]);
		expect(stderr).not.toContain("bug");
		expect(readFileSync(html, "utf8")).toMatch(/<\/html>\s*$/);
		rmSync(html);
	});

	test("selftest has printed the scripts that have run", async () => {
		const { child, printed, end } = start(["selftest", "--cpu", "unicorn"]);
		await until(() => printed.stdout, /^ok 1 test-callbacks\.sh$/m);
		child.kill("SIGTERM");
		expect(await end).toMatchObject({ stdout: expect.stringMatching(/^KTAP version 1\n1\.\.7\n/) });
	});

	test("kernel build leaves no file, and no folder", async () => {
		const place = mkdtempSync(join(folder, "build-"));
		const bin = mkdtempSync(join(folder, "bin-"));
		// A tar that has begun, and does not end.
		writeFileSync(join(bin, "tar"), `#!/bin/sh\ntouch ${bin}/begun\nexec sleep 3600\n`, { mode: 0o755 });
		const before = `export TMPDIR=${place} PATH="${bin}:$PATH"`;
		const { child, end } = start(["kernel", "build", "--out", join(place, "core")], {}, before);
		await expect.poll(() => readdirSync(bin)).toContain("begun");
		expect(readdirSync(place)).toHaveLength(1);
		child.kill("SIGTERM");
		expect(await end).toMatchObject({ status: null, signal: "SIGTERM" });
		expect(readdirSync(place)).toEqual([]);
		for (const path of [place, bin]) rmSync(path, { recursive: true });
	});

	test("bench prints what it has measured, status 1", async () => {
		const options = ["--suite", "handler", "--design", "mainline", "--cpu", "jit", "--processes", "999"];
		const child = spawn(process.execPath, ["--import", "tsx", "bench/index.ts", ...options], {
			cwd: PROJECT,
			stdio: ["ignore", "pipe", "pipe"],
		});
		const printed = { stdout: "", stderr: "" };
		child.stdout.on("data", (text) => (printed.stdout += text));
		child.stderr.on("data", (text) => (printed.stderr += text));
		// The first job has ended.
		await until(() => printed.stderr, /^pass 1\/999, 2\//m);
		child.kill("SIGINT");
		const [status] = await once(child, "close");
		const told = /interrupted: [1-9]\d* of \d+ jobs were measured/;
		expect([status, printed.stdout]).toEqual([1, expect.stringMatching(told)]);
	});

	test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("explore prints what is known: %s", async (signal) => {
		const file = join(folder, "endless.yaml");
		writeFileSync(file, ENDLESS);
		const { child, printed, end } = start(["explore", file, "--design", "universe", ...WITHOUT_END]);
		await until(() => printed.stderr, /^universe: [1-9]\d* states/m);
		child.kill(signal);
		const { status, stdout } = await end;
		expect([status, stdout]).toEqual([3, expect.stringMatching(/^universe +bounded/m)]);
		expect(printed.stderr).not.toContain("bug");
	});

	test.each([
		["serve", ["serve", "--port", "0", "--folder", "web"], /http:/],
		["gdb", ["gdb", HYBRID, "--port", "0"], /:\d+/],
	])("%s ends with status 0", async (_name, args, ready) => {
		const { child, printed, end } = start(args);
		await until(() => printed.stdout + printed.stderr, ready);
		child.kill("SIGTERM");
		expect(await end).toMatchObject({ status: 0, signal: null });
	});

	test("exec has answered each line that it has read", async () => {
		const { child, printed, end } = start(["exec"]);
		child.stdin!.write(readFileSync(join(folder, "lines")));
		await until(() => printed.stdout, /"id":1.*\n/);
		child.kill("SIGTERM");
		expect(await end).toMatchObject({ status: null, signal: "SIGTERM", stderr: "" });
	});

	test.each([
		[HYBRID, ["run", HYBRID]],
		[SCHEDULE, ["replay", SCHEDULE]],
		[OBJECT, ["check", OBJECT]],
		[PART, ["merge", PART]],
		["scenarios/force.yaml", ["kit", "scenarios/force.yaml"]],
		[HYBRID, ["compare", HYBRID, HYBRID]],
	])("in the middle, where %s is read: %j prints nothing, and ends by it", async (file, args) => {
		for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
			const hook = join(PROJECT, "test/support/stop-at.mjs");
			const before = `export KLPEMU_STOP_AT=${file} NODE_OPTIONS=--import=${hook}`;
			const { child, printed, end } = start(args, {}, before);
			await until(() => printed.stderr, /^reads /m);
			child.kill(signal);
			expect(await end).toEqual({ status: null, signal, stdout: "", stderr: `reads ${file}\n` });
		}
	});

	test("kit: a folder that was a kit is none, in the middle of a file", async () => {
		const place = mkdtempSync(join(folder, "kit-"));
		const args = ["kit", "scenarios/force.yaml", "--out", place];
		expect(await start(args).end).toMatchObject({ status: 0 });
		expect(statSync(join(place, "run.sh")).mode & 0o111).not.toBe(0);
		const pipe = fullPipe();
		const { child, end } = start(args, {}, `ln -s ${pipe.path} ${place}/Makefile.$$.tmp`);
		await hasOpened(child, pipe.path);
		child.kill("SIGTERM");
		expect(await end).toMatchObject({ status: null, signal: "SIGTERM", stdout: "" });
		const left = readdirSync(place, { recursive: true, encoding: "utf8" });
		expect(left).toContain("Makefile");
		expect(left.filter((name) => /run\.sh|\.tmp$/.test(name))).toEqual([]);
		pipe.close();
	});

	test("run --trace: in the middle of a file, which is then not there, and nothing is left beside it", async () => {
		const place = mkdtempSync(join(folder, "trace-"));
		const pipe = fullPipe();
		const before = `ln -s ${pipe.path} ${place}/trace.$$.tmp`;
		const { child, end } = start(["run", HYBRID, "--trace", join(place, "trace")], {}, before);
		await hasOpened(child, pipe.path);
		child.kill("SIGTERM");
		expect(await end).toMatchObject({ status: null, signal: "SIGTERM" });
		expect(readdirSync(place)).toEqual([]);
		pipe.close();
	});
});

test("a reader that has seen enough is no error", async () => {
	const { child, end } = start(["run", HYBRID, "--json"]);
	child.stdout!.destroy();
	expect(await end).toMatchObject({ status: 0, stderr: "" });
});
