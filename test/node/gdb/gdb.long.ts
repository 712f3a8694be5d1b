/** The server with Debian's gdb, in batch mode. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Player, serveGdb } from "../../../src/node/gdb/index.js";
import { nodeHost, objectFor } from "../../../src/node/index.js";
import { parseScenario } from "../../../src/scenario/index.js";
import { skipBecause } from "../../support/skip.js";

const file = "scenarios/hybrid-lp1-lp2-lp3.yaml";

function version(command: string): string | undefined {
	try {
		return execFileSync(command, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
	} catch {
		return undefined;
	}
}
const missing = ["gdb", "gcc"].filter((tool) => version(tool) === undefined);

let server: Awaited<ReturnType<typeof serveGdb>> | undefined;
beforeAll(async () => {
	if (missing.length > 0) return;
	const host = nodeHost(file);
	const player = await Player.record(parseScenario(readFileSync(file, "utf8"), file), {
		host: { ...host, loadObject: (path, options) => objectFor(path, { ...options, debug: true }) },
	});
	server = await serveGdb(player, 0);
});
afterAll(() => server?.close());

/** What gdb prints for commands of its own. */
async function gdb(...commands: readonly string[]): Promise<string> {
	const settings = ["set pagination off", "set confirm off", "set width 0", `target remote 127.0.0.1:${server!.port}`];
	const all = [...settings, ...commands].flatMap((line) => ["-ex", line]);
	const child = spawn("gdb", ["-batch", "-nx", ...all], {
		stdio: ["ignore", "pipe", "pipe"],
		env: { ...process.env, LC_ALL: "C" },
	});
	let printed = "";
	for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (printed += chunk));
	await once(child, "close");
	return printed;
}

describe("a stock gdb", () => {
	const needsGdb = (title: string, run: () => Promise<void>) =>
		test(title, async ({ skip }) => {
			if (missing.length > 0) skipBecause(skip, `there is no ${missing.join(", no ")}: apt-get install -y gdb gcc`);
			await run();
		});

	needsGdb("attaches without a file: tasks are threads, with names and states", async () => {
		const text = await gdb("info threads", "thread 5", "bt");
		expect(text).toMatch(
			/\* 1 +Thread 1 "shell" \(IDLE, is in kernel code of its own\) +0x\w+ in kernel_code_in_typescript \(\)/,
		);
		expect(text).toMatch(/5 +Thread 5 "sleeper" \(IDLE, is in user mode\)/);
		expect(text).toMatch(/Thread 4194305 "swapper\/0"/);
		expect(text).toMatch(/^#0 {2}0x\w+ in in_user_mode \(\)$/m);
		expect(text).not.toMatch(/warning: (?!File transfers)|error/i);
	});
	needsGdb("symbols and lines of a livepatch's objects, breakpoints, source steps, finish, registers", async () => {
		const text = await gdb(
			"break lp2_funcB",
			"continue",
			"bt",
			"info line",
			"next",
			"step",
			"bt",
			"finish",
			"info registers rip",
		);
		expect(text).toMatch(/Breakpoint 1 at 0x\w+: file lp2\.c, line \d+\./);
		expect(text).toMatch(/Thread \d+ "[^"]+" hit Breakpoint 1, lp2_funcB \(x=\d+\) at lp2\.c:\d+/);
		expect(text).toMatch(/#0 {2}lp2_funcB \(x=\d+\) at lp2\.c:\d+\n#1 {2}0x\w+ in (do_syscall_64|kthread) \(\)/);
		expect(text).toMatch(/\blong sum = weigh\(x\);/);
		expect(text).toMatch(/#0 {2}weigh \(x=\d+\) at funcs\.c:\d+\n#1 {2}0x\w+ in lp2_funcB \(x=.*\) at lp2\.c:\d+/);
		expect(text).toMatch(/\nlp2_funcB \(x=.*\) at lp2\.c:\d+\n[\s\S]*Value returned is \$1 = \d+/);
		expect(text).toMatch(/rip +0x\w+ +0x\w+ <lp2_funcB\+\d+>/);
	});
	needsGdb("a backtrace through the trampoline", async () => {
		const text = await gdb("break klp_ftrace_handler", "continue", "bt");
		expect(text).toMatch(
			/#0 {2}0x\w+ in klp_ftrace_handler \(\)\n#1 {2}0x\w+ in ftrace_trampoline\[funcA\] \(\)\n#2 {2}0x\w+ in funcA \(x=.*\) at funcs\.c:\d+\n#3 {2}0x\w+ in (do_syscall_64|kthread) \(\)/,
		);
	});
	needsGdb("reverse-stepi, reverse-step, reverse-next, reverse-finish and reverse-continue", async () => {
		const text = await gdb(
			...["break lp2_funcB", "continue", 'printf "A %lx\\n", $pc', "stepi", "stepi", "reverse-stepi", "reverse-stepi"],
			...[
				'printf "B %lx\\n", $pc',
				"next",
				"next",
				"reverse-next",
				"reverse-step",
				'printf "C %s\\n", "ok"',
				"reverse-finish",
			],
			...["continue", "monitor position", "continue", "monitor position", "reverse-continue", "monitor position"],
			...["delete", "reverse-continue", "monitor position"],
		);
		const [, a] = /^A (\w+)$/m.exec(text)!;
		expect(text).toMatch(new RegExp(`^B ${a}$`, "m"));
		const positions = [...text.matchAll(/^event (\d+) of/gm)].map(([, event]) => Number(event));
		expect(positions).toHaveLength(4);
		expect(positions[1]).toBeGreaterThan(positions[0]!);
		expect(positions[2]).toBe(positions[0]);
		expect(positions[3]).toBe(0);
		expect(text).toContain("No more reverse-execution history.");
	});
	needsGdb("watchpoints, forwards and backwards", async () => {
		const text = await gdb(
			"watch funcA_calls",
			"continue",
			"continue",
			"reverse-continue",
			"delete",
			"rwatch funcA_calls",
			"continue",
			"awatch funcB_calls",
			"continue",
		);
		expect(text).toMatch(
			/hit Hardware watchpoint 1: funcA_calls\n\nOld value = 0\nNew value = 1\nfuncA \(x=\d+\) at funcs\.c:\d+/,
		);
		expect(text).toMatch(/Old value = 2\nNew value = 1\n/);
		expect(text).toMatch(/hit Hardware read watchpoint 2: funcA_calls\n\nValue = \d+/);
	});
	needsGdb("memory is read and not written; monitor commands; the end of the run", async () => {
		const text = await gdb(
			...[
				"x/2i funcA",
				"print weights",
				"monitor step-scenario",
				"continue",
				"monitor klp",
				"monitor dmesg",
				"continue",
			],
			...["monitor bt", "set var funcA_calls = 5", "print funcA_calls"],
		);
		expect(text).toMatch(/0x\w+ <funcA>:\tnopl/);
		expect(text).toContain("\\003\\001\\004");
		expect(text).toContain("transition of lp1 to PATCHED");
		expect(text).toContain("livepatch: enabling patch 'lp1'");
		expect(text).toContain("No more reverse-execution history.");
		expect(text).toMatch(/Cannot access memory at address|cannot be written/);
	});
});
