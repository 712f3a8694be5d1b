import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { KlpemuError } from "../../../src/base/index.js";
import type { CommandEntry } from "../../../src/node/cli/command.js";
import { commands } from "../../../src/node/cli/commands.js";
import type { Command, Io } from "../../../src/node/cli/index.js";
import { makeRunCommand, type RunScenario } from "../../../src/node/cli/run.js";
import { NodeFileReader } from "../../../src/node/index.js";
import type { Report } from "../../../src/report/index.js";
import { findSource, parseScenario } from "../../../src/scenario/index.js";
import { hybrid } from "../../report/hybrid.js";
import { cliOf } from "../../support/cli.js";

const cli = (argv: readonly string[], entries?: readonly CommandEntry[], env: Io["env"] = {}) =>
	cliOf(argv, { env, ...(entries && { entries }) });

/** `klpemu run` with an engine that only says what it was asked for. */
function runWith(report: Report, seen: Parameters<RunScenario>[] = []): CommandEntry[] {
	const command = makeRunCommand(async (...args) => {
		seen.push(args);
		args[1].traceInsns?.("ffffffff81000000  endbr64");
		return report;
	});
	return [{ name: "run", summary: "run", load: async () => command }];
}

const HYBRID = "scenarios/hybrid-lp1-lp2-lp3.yaml";

describe("help and version", () => {
	test("klpemu --help", async () => {
		const { status, stdout } = await cli(["--help"]);
		expect(status).toBe(0);
		for (const { name, summary } of commands) expect(stdout).toMatch(new RegExp(`^  ${name} +${summary}$`, "m"));
	});
	test("klpemu alone prints the same as an error", async () => {
		expect(await cli([])).toEqual({ status: 2, stdout: "", stderr: (await cli(["--help"])).stdout });
	});
	test("klpemu --version is package.json's", async () => {
		expect((await cli(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
	});
	test("klpemu run --help, also when other arguments are missing or wrong", async () => {
		const help = await cli(["run", "--help"]);
		expect(help.stdout).toMatchInlineSnapshot(`
			"run a scenario and say whether the consistency model held

			Usage: klpemu run FILE [OPTIONS]

			Arguments:
			  FILE  a scenario, YAML

			Options:
			  --design DESIGN   the replace design, instead of the scenario's (klpemu designs lists them)
			  --core FILE       the kernel's own livepatch code (klpemu kernel build), not klpemu's
			  --cpu CPU         jit or unicorn
			  --seed N          seed of the schedule, instead of the scenario's
			  --json            print the report as one JSON document
			  --dmesg           show under each step what the kernel printed
			  --watch           run again when the scenario or one of its sources changes; Ctrl-C ends
			  --story           print the steps with their effects as Markdown instead
			  --keep-going      also run the steps behind one that does not end as the scenario says
			  --trace-insns     print each executed instruction (with --json to standard error); long
			  --ktap            print the steps as KTAP instead
			  --junit FILE      also write the steps as JUnit's XML, for continuous integration
			  --svg FILE        also write a space-time diagram, for a mail or a document
			  --trace FILE      also write a trace for Perfetto (ui.perfetto.dev); slower
			  --ftrace FILE     also write the calls as the function tracer shows them; slower
			  --trace-cmd FILE  the same as trace-cmd report prints them
			  --help, -h        this text

			Exit status: 0 as the scenario expects, 1 not so, 2 bad input.

			Example:
			  klpemu run scenarios/hybrid-lp1-lp2-lp3.yaml --design universe
			  klpemu run scenarios/hybrid-lp1-lp2-lp3.yaml --core linux-6.12.klpcore
			"
		`);
		expect(await cli(["help", "run"])).toEqual(help);
		expect(await cli(["run", "a", "b", "-h"])).toEqual(help);
	});
	test.each(commands.map(({ name }) => name))(
		"klpemu %s --help fits into 100 columns, and its summary is the list's",
		async (name) => {
			const { status, stdout } = await cli([...name.split(" "), "--help"]);
			expect(status).toBe(0);
			expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
			expect(stdout.split("\n")[0]).toBe(commands.find((entry) => entry.name === name)!.summary);
		},
	);
});

describe("bad arguments: status 2 and a message", () => {
	test.each([
		[["run"]],
		[["run", "a.yaml", "b.yaml"]],
		[["run", HYBRID, "--desing", "universe"]],
		[["run", HYBRID, "-x"]],
		[["run", HYBRID, "--design"]],
		[["run", HYBRID, "--design", "--json"]],
		[["run", HYBRID, "--design="]],
		[["run", HYBRID, "--cpu", "qemu"]],
		[["run", HYBRID, "--json=yes"]],
		[["run", HYBRID, "--json", "--json"]],
		[["run", HYBRID, "--seed", "one"]],
		[["run", HYBRID, "--seed", "-1"]],
		[["run", HYBRID, "--seed", "18446744073709551616"]],
		[["run", "no/such/file.yaml"]],
		[["run", "scenarios"]],
	])("klpemu %j", async (argv) => {
		const { status, stdout, stderr } = await cli(argv, argv[0] === "run" ? runWith(hybrid) : commands);
		expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
		expect(stderr).toMatchSnapshot();
	});

	test("near misses of names that lists will grow", async () => {
		const message = async (...argv: string[]) => (await cli(argv)).stderr;
		expect(await message("rum")).toMatch(
			/^klpemu: unknown command 'rum'\n {2}hint: did you mean 'run'\? commands: run, /,
		);
		expect(await message("--hepl")).toMatch(/^klpemu: unknown option '--hepl'\n {2}hint: did you mean '--help'\? /);
		expect(await message("run", HYBRID, "--design", "univers")).toMatch(
			/^klpemu run: --design: there is no 'univers'\n {2}hint: did you mean 'universe'\? allowed: mainline, /,
		);
	});

	test("a scenario with a mistake: file, line, column", async () => {
		const file = join(mkdtempSync(join(tmpdir(), "klpemu-")), "s.yaml");
		writeFileSync(file, "title: t\nvmlinux: [a.c]\ntaks: {}\n");
		const { status, stderr } = await cli(["run", file], runWith(hybrid));
		expect(status).toBe(2);
		expect(stderr).toContain(`${file}:3:1: unknown key 'taks' in a scenario\n  hint: did you mean 'tasks'?`);
		writeFileSync(file, Buffer.from([0xff, 0xfe]));
		expect((await cli(["run", file], runWith(hybrid))).stderr).toBe(`${file}: not UTF-8 text\n`);
	});
});

describe("klpemu run", () => {
	test("prints the report; status 0 and 1", async () => {
		const good = await cli(["run", HYBRID], runWith(hybrid));
		expect([good.status, good.stderr]).toEqual([0, ""]);
		expect(good.stdout).toContain("VIOLATED  as the scenario expects");
		expect((await cli(["run", HYBRID], runWith({ ...hybrid, asExpected: false }))).status).toBe(1);
	});
	test("--json prints the document", async () => {
		const { stdout } = await cli(["run", HYBRID, "--json"], runWith(hybrid));
		expect(JSON.parse(stdout)).toEqual(hybrid);
	});
	test("--dmesg", async () => {
		const { stdout } = await cli(["run", HYBRID, "--dmesg"], runWith(hybrid));
		expect(stdout).toContain("│ livepatch: 'lp3': completing patching transition");
	});
	test("--trace-insns goes to stdout, with --json to stderr", async () => {
		const plain = await cli(["run", HYBRID, "--trace-insns"], runWith(hybrid));
		expect(plain.stdout).toMatch(/^ffffffff81000000 {2}endbr64\n/);
		const json = await cli(["run", HYBRID, "--trace-insns", "--json"], runWith(hybrid));
		expect(json.stderr).toBe("ffffffff81000000  endbr64\n");
		expect(JSON.parse(json.stdout).schema).toBe(1);
	});
	test("the engine gets what was asked for, and nothing else", async () => {
		const seen: Parameters<RunScenario>[] = [];
		const engine = runWith(hybrid, seen);
		await cli(["run", HYBRID, "--design", "universe", "--cpu", "unicorn", "--seed", "0xffffffffffffffff"], engine);
		await cli(["run", HYBRID], engine);
		const [first, second] = seen.map(([scenario, options]) => ({ title: scenario.title, ...options, host: 0 }));
		const title = "Hybrid mode, lp1/lp2/lp3";
		expect(first).toEqual({
			title,
			host: 0,
			design: "universe",
			stopAtFailure: true,
			cpu: "unicorn",
			seed: 0xffff_ffff_ffff_ffffn,
		});
		expect(second).toEqual({ title, host: 0, stopAtFailure: true });
	});
	test("colour only where it is wanted", async () => {
		expect((await cli(["run", HYBRID], runWith(hybrid))).stdout).not.toContain("\u001b");
		expect((await cli(["run", HYBRID], runWith(hybrid), { FORCE_COLOR: "1" })).stdout).toContain("\u001b[");
	});
});

test("klpemu designs, for people and as JSON", async () => {
	const text = await cli(["designs"]);
	const json = JSON.parse((await cli(["designs", "--json"])).stdout);
	expect(json.map((design: { name: string }) => design.name)).toContain("universe");
	for (const { name, title } of json) expect(text.stdout).toContain(`${name}\n  ${title}\n`);
});

describe("errors inside a command", () => {
	const failing = (error: unknown): CommandEntry[] => {
		const command: Command = {
			positionals: [],
			options: {},
			run: () => Promise.reject(error),
		};
		return [{ name: "x", summary: "x", load: async () => command }];
	};
	test("the user's: message and hint, status 2", async () => {
		const error = new KlpemuError("X", "it is so", { where: "f:1", hint: "do that" });
		expect(await cli(["x"], failing(error))).toEqual({
			status: 2,
			stdout: "",
			stderr: "f:1: it is so\n  hint: do that\n",
		});
	});
	test("ours: a stack and what it is, status 70", async () => {
		const { status, stderr } = await cli(["x"], failing(new TypeError("oops")));
		expect(status).toBe(70);
		expect(stderr).toMatch(/^TypeError: oops\n {4}at [\s\S]*This is a bug in klpemu/);
		expect((await cli(["x"], failing("text"))).stderr).toMatch(/^text\nThis is a bug/);
	});
});

describe("files of a scenario", () => {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-"));
	writeFileSync(join(folder, "a.c"), "a");
	const reader = new NodeFileReader(join(folder, "s.yaml"), process.cwd());

	test("first beside the scenario, then in the project", async () => {
		expect(reader.candidates("x/y.c")).toEqual([join(folder, "x/y.c"), join(process.cwd(), "x/y.c")]);
		expect(Buffer.from((await reader.read("a.c"))!).toString()).toBe("a");
		expect((await reader.read("package.json"))!.length).toBeGreaterThan(10);
		expect(await reader.read(join(folder, "a.c"))).toEqual(Buffer.from("a"));
	});
	test("where a file was found", async () => {
		expect(await reader.find("a.c")).toBe(join(folder, "a.c"));
		expect(await reader.find("package.json")).toBe(join(process.cwd(), "package.json"));
		expect(await reader.find("no.c")).toBeUndefined();
		await expect(reader.find("test")).rejects.toThrow(expect.objectContaining({ code: "FILE_UNREADABLE" }));
	});
	test("a source that is missing: where the scenario names it, and where it was looked for", async () => {
		const file = join(folder, "s.yaml");
		const scenario = parseScenario("title: t\nvmlinux: [a.c, b.c]\ntasks: {}\nsteps: [settle]\n", file);
		expect(await findSource(scenario, reader, scenario.vmlinux[0]!)).toBe(join(folder, "a.c"));
		await expect(findSource(scenario, reader, scenario.vmlinux[1]!)).rejects.toThrow(
			expect.objectContaining({
				code: "SCENARIO_MISSING_FILE",
				where: `${file}:2:16`,
				reason: "there is no file 'b.c'",
				hint: `looked for: ${join(folder, "b.c")}, ${join(process.cwd(), "b.c")}`,
			}),
		);
	});
	test("missing ones are undefined, unreadable ones an error", async () => {
		expect(await reader.read("no.c")).toBeUndefined();
		expect(await reader.read("a.c/b.c")).toBeUndefined();
		await expect(reader.read("test")).rejects.toThrow(expect.objectContaining({ code: "FILE_UNREADABLE" }));
	});
});
