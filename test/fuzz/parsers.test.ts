import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { INVARIANTS } from "../../src/consistency/index.js";
import { JitCpu } from "../../src/cpu/jit/index.js";
import { linkImage, parseElf } from "../../src/elf/index.js";
import { answerLine, ExecSession } from "../../src/exec/index.js";
import { formatSchedule, parseSchedule } from "../../src/explore/index.js";
import { parseKernelLayout } from "../../src/linux/klp-c/index.js";
import { Memory } from "../../src/memory/index.js";
import { parseTranscript } from "../../src/node/compare/index.js";
import { parseScenario } from "../../src/scenario/index.js";
import { Random } from "../conformance/random.js";
import { cliOf } from "../support/cli.js";
import { LONG } from "../support/sample.js";
import { mutateBytes, mutateText, UNBOUNDED } from "./mutate.js";

/** Inputs for each parser; `npm run fuzz` takes many more. */
const RUNS = Number(process.env.KLPEMU_FUZZ ?? 800) / 4;

const filesOf = (folder: string, ending: string) =>
	readdirSync(folder)
		.filter((name) => name.endsWith(ending))
		.sort()
		.map((name) => join(folder, name));
const texts = (files: readonly string[]) => files.map((file) => readFileSync(file, "utf8"));

/** Gives mutants of the corpus to a parser: each is read, or refused by a KlpemuError, in bounded time. */
function fuzz<T>(
	corpus: readonly T[],
	mutate: (value: T, random: Random) => T,
	read: (value: T) => void,
	seed: bigint,
) {
	const random = new Random(seed);
	let accepted = 0;
	for (let run = 0; run < RUNS; run++) {
		const value = mutate(corpus[run % corpus.length]!, random);
		const start = process.cpuUsage();
		try {
			read(value);
			accepted++;
		} catch (error) {
			if (!(error instanceof KlpemuError))
				throw new Error(`run ${run}: ${JSON.stringify(value).slice(0, 4000)}`, { cause: error });
		}
		const { user, system } = process.cpuUsage(start);
		if ((user + system) / 1e6 > UNBOUNDED) throw new Error(`run ${run} takes ${(user + system) / 1e6} s`);
	}
	// If all were accepted, or all refused, the mutants would test nothing.
	expect(accepted).toBeGreaterThan(RUNS / 100);
	expect(accepted).toBeLessThan(RUNS);
}

function inMemory(use: (memory: Memory) => void): void {
	const memory = new Memory({ bytes: 16 << 20 });
	try {
		use(memory);
	} finally {
		memory.close();
	}
}

describe("mutants of good input are read, or refused with a reason", () => {
	test("scenarios", () => {
		const corpus = texts([...filesOf("scenarios", ".yaml"), ...filesOf("scenarios/family", ".yaml")]);
		fuzz(corpus, mutateText, (text) => void parseScenario(text, "fuzz.yaml"), 1n);
	});
	test("schedules", () => {
		const moves = [
			{ who: "shell", steps: 3, busy: [{ step: 1, task: "worker/0" }], late: false, label: "klp_try_switch_task" },
			{ who: "worker/0", steps: 1, busy: [], late: false, label: "calls funcA" },
			{ who: "kworker", steps: 12, busy: [], late: true, label: "klp_try_complete_transition" },
		];
		const header = { scenario: "scenarios/x.yaml", fingerprint: "0123", design: "mainline", message: "it ends never" };
		const corpus = INVARIANTS.map((invariant) => formatSchedule({ ...header, invariant, moves }));
		fuzz(corpus, mutateText, (text) => void parseSchedule(text, "fuzz.schedule"), 2n);
	});
	test("objects, and what links them", () => {
		const corpus = filesOf("asm/prebuilt/vmlinux", ".o").map((file) => new Uint8Array(readFileSync(file)));
		const link = (bytes: Uint8Array) => {
			const object = parseElf(bytes, "fuzz.o");
			inMemory((memory) => {
				const resolve = () => 0x81000000 | 0;
				const image = linkImage({ name: "vmlinux", objects: [object], base: 0x81000000 | 0, memory, resolve });
				// Lines have no error of their own.
				image.lineAt(image.base);
			});
		};
		fuzz(corpus, mutateBytes, link, 3n);
	});
});

test("mutants of .debug_line: lines, or the reason why there are none", () => {
	const whole = new Uint8Array(readFileSync("asm/prebuilt/vmlinux/kernel.o"));
	const { offset, size } = parseElf(whole, "kernel.o").sections.find(({ name }) => name === ".debug_line")!;
	const read = (lines: Uint8Array) => {
		const bytes = whole.slice();
		bytes.set(lines, offset);
		const object = parseElf(bytes, "kernel.o");
		inMemory((memory) => {
			const image = linkImage({
				name: "m",
				objects: [object],
				base: 0x81000000 | 0,
				memory,
				resolve: () => 0x81000000 | 0,
			});
			for (const { address } of image.symbols) image.lineAt(address);
			if (image.linesProblem !== undefined) throw new KlpemuError("ELF_BAD_LINES", image.linesProblem);
		});
	};
	fuzz([whole.subarray(offset, offset + size)], mutateBytes, read, 7n);
});

describe("mutants of lines and documents are answered, or refused with a reason", () => {
	const corpus = (name: string) => readFileSync(new URL(`corpus/${name}`, import.meta.url), "utf8").trim();

	test("lines of klpemu exec", async () => {
		const session = new ExecSession(async (memory) => new JitCpu(memory));
		const random = new Random(4n);
		const lines = corpus("exec.jsonl").split("\n");
		const seen = { error: 0, exit: 0 };
		for (let run = 0; run < RUNS; run++) {
			const start = process.cpuUsage();
			const answer = await answerLine(
				mutateText(lines[run % lines.length]!, random).replaceAll(/\d{8,}/g, "1"),
				session,
			);
			seen["error" in answer ? "error" : "exit"]++;
			const { user, system } = process.cpuUsage(start);
			expect((user + system) / 1e6).toBeLessThan(UNBOUNDED);
		}
		session.close();
		expect(Math.min(seen.error, seen.exit)).toBeGreaterThan(RUNS / 100);
	});

	test("reports for klpemu merge", async () => {
		const random = new Random(5n);
		const [text, other] = [corpus("report.json"), join(mkdtempSync(join(tmpdir(), "klpemu-fuzz-")), "part.json")];
		const statuses = new Set<number>();
		for (let run = 0; run < RUNS / 10; run++) {
			writeFileSync(other, run === 0 ? text : mutateText(text, random));
			const { status, stderr } = await cliOf(["merge", other]);
			if (status !== 2 || stderr === "") expect([0, 1, 2, 3]).toContain(status);
			statuses.add(status);
		}
		expect(statuses).toContain(2);
	});

	test("layouts of kernels", () => {
		const small = texts(filesOf("asm/kernel-layouts", ".json")).map((text) => {
			const file = JSON.parse(text) as { entries: object };
			return JSON.stringify({
				...file,
				config: {},
				entries: Object.fromEntries(Object.entries(file.entries).slice(0, 20)),
			});
		});
		fuzz(small, mutateText, (text) => void parseKernelLayout(text, "fuzz.json"), 6n);
	});
});

describe("transcripts", () => {
	const recorded = texts(filesOf("test/golden/transcripts", ".txt"));

	test("mutants of good ones: each line is read, or is a note", () => {
		const random = new Random(8n);
		for (let run = 0; run < RUNS; run++) {
			const text = mutateText(recorded[run % recorded.length]!, random);
			const start = process.cpuUsage();
			parseTranscript(text);
			const { user, system } = process.cpuUsage(start);
			expect((user + system) / 1e6).toBeLessThan(UNBOUNDED);
		}
	});

	const state = (...lines: readonly string[]) =>
		["### --- STATE: x", "###     task x pid=1 a in=- patch_state= 0 pending=0 a=b", ...lines].join("\n");
	test.each([
		["views without blanks between them", state(`###     task x ${"a=".repeat(10_000)}a  !`)],
		["a million blanks in a task", state(`###     task y pid=1 a in=${" ".repeat(1_000_000)}x`)],
		[
			"a task of many lines",
			state(...Array.from({ length: LONG ? 100_000 : 10_000 }, (_, i) => `###     task x f${i}=lp1`)),
		],
		["a million brackets", `x${"[".repeat(1_000_000)}`],
		["a bracket, a million blanks", `x[${" ".repeat(1_000_000)}`],
		["a command that prints many lines", `### $ x\n${"###    y\n".repeat(LONG ? 1_000_000 : 50_000)}`],
		["an echo of a million arrows", `### $ echo ${"' > ".repeat(250_000)}\n###    rc=1`],
	])("a hostile one costs bounded time: %s", (_, text) => {
		const start = process.cpuUsage();
		expect(parseTranscript(text).complete).toBe(false);
		const { user, system } = process.cpuUsage(start);
		expect((user + system) / 1e6).toBeLessThan(UNBOUNDED);
	});
});

describe("hostile scenarios cost bounded time and memory", () => {
	const deep = (open: string, close: string) => open.repeat(20_000) + close.repeat(20_000);
	const laughs = ["a: &a [x, x, x, x, x, x, x, x, x]"];
	for (let i = 1; i < 12; i++) {
		const [name, last] = [String.fromCharCode(97 + i), String.fromCharCode(96 + i)];
		laughs.push(`${name}: &${name} [${Array.from({ length: 9 }, () => `*${last}`).join(", ")}]`);
	}
	const small = (tasks: readonly string[], steps: readonly string[]) =>
		["title: Many", "vmlinux: [x.c]", "tasks:", ...tasks, "steps:", ...steps].join("\n");
	const many = <T>(count: number, one: (i: number) => T) => Array.from({ length: count }, (_, i) => one(i));
	test.each([
		[
			"20,000 tasks",
			small(
				many(20_000, (i) => `  t${i}: { calls: [f] }`),
				["  - settle"],
			),
		],
		[
			"3,000 forks",
			small(
				["  t: { calls: [f] }"],
				many(3000, (i) => `  - fork: { parent: t, child: c${i}, calls: [f] }`),
			),
		],
		[
			"3,000 forks in races",
			small(
				["  t: { calls: [f] }"],
				many(
					1500,
					(i) =>
						`  - race: [[{ fork: { parent: t, child: c${i}, calls: [f] } }], [{ fork: { parent: t, child: d${i}, calls: [f] } }]]`,
				),
			),
		],
		[
			"1,000 tasks and 2,000 steps",
			small(
				["  t: { calls: [f], count: 1000 }"],
				many(2000, () => "  - settle"),
			),
		],
		["a bomb of aliases", laughs.join("\n")],
		["20,000 brackets", deep("[", "]")],
		["20,000 braces", deep("{a: ", "}")],
		["2,000 levels of lists", Array.from({ length: 2000 }, (_, i) => `${" ".repeat(i)}-`).join("\n")],
		["50,000 keys", Array.from({ length: 50_000 }, (_, i) => `k${i}: 1`).join("\n")],
		["an alias of itself", "title: &a [*a]"],
		["a megabyte of one line", `title: ${"x".repeat(1 << 20)}`],
		["a megabyte of spaces", `title:${" ".repeat(1 << 20)}`],
		["a megabyte of question marks", "?".repeat(1 << 20)],
	])("%s", (_, text) => {
		const start = process.cpuUsage();
		expect(() => parseScenario(text, "hostile.yaml")).toThrow(KlpemuError);
		const { user, system } = process.cpuUsage(start);
		expect((user + system) / 1e6).toBeLessThan(UNBOUNDED);
	});
});
