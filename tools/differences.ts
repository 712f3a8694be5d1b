/**
 * npm run differences: compares the transcripts of test/golden/real-kernel with the emulated kernel, and writes docs/differences.md: the list
 * is made here, the reasons are below, by hand.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { type Comparison, compareTranscript, parseTranscript, TIMING, type Timing } from "../src/node/compare/index.js";
import { nodeHost } from "../src/node/index.js";
import { parseScenario } from "../src/scenario/index.js";
import { expanded } from "../test/golden/compact.js";

export const FOLDER = "test/golden/real-kernel";
export const FOLDERS = ["scenarios", "scenarios/family", "scenarios/hunting"];

interface Reason {
	readonly scenario: string;
	/** What is explained. */
	readonly differences: RegExp;
	readonly reason: string;
}

const ONE_LINE =
	"enabled_functions has one line for an address, under one of its names; klpemu's report has both names of the function.";

const REASONS: readonly Reason[] = [
	{
		scenario: "bottom-reverse",
		differences: /^step 11: settle: |^dmesg: /,
		reason: `This is [finding 1](findings/1-bottom-of-func-stack.md): the real kernel's transition does not end. What klp_check_stack_func() reads behind
the end of the list is a range in which nobody is in the emulated kernel; that reports the read itself (use-after-free).`,
	},
	{
		scenario: "one-address",
		differences: /functions with a livepatch: here funcE funcE_alias, on the real kernel funcE_alias$/,
		reason:
			"enabled_functions has one line for an address, under one of its names; klpemu's report has both names of the function.",
	},
	{
		scenario: "two-names",
		differences: /^step 2: settle: (worker|lp2)|^dmesg: /,
		reason: `This is [finding 3](findings/3-two-names-of-one-function.md), and by way of [finding 1](findings/1-bottom-of-func-stack.md) the real
kernel's transition does not end. What is read behind the end of the list is a range in which nobody is in the emulated kernel.`,
	},
	{
		scenario: "two-names",
		differences: /functions with a livepatch: here funcB funcE funcE_alias, on the real kernel funcB funcE_alias$/,
		reason: ONE_LINE,
	},
	{
		scenario: "two-names-sleeper",
		differences: /^step [24]: .*: (sleeper|lp2)|^dmesg: /,
		reason: `Again findings 3 and 1: the transition does not end. Here the sleeper in the original is switched at once, for nobody looks for the original;
on the real kernel the range that is read behind the end of the list covers it, and everybody else. There it sees lp2_funcA in patch_state
UNPATCHED, asleep in the original.`,
	},
	{
		scenario: "two-names-sleeper",
		differences: /functions with a livepatch: here funcE funcE_alias, on the real kernel funcE_alias$/,
		reason: ONE_LINE,
	},
	{
		scenario: "two-names-reverse",
		differences: /^step [25]: settle: (worker|lp2)|^dmesg: /,
		reason: `Findings 3 and 1 again, as in two-names: neither the enabling nor what is turned round later ends on the real kernel, so that \`disable\`
turns round the enabling there.`,
	},
	{
		scenario: "two-names-reverse",
		differences: /functions with a livepatch: here funcE funcE_alias, on the real kernel funcE_alias$/,
		reason: ONE_LINE,
	},
	{
		scenario: "alias-reverse",
		differences: /^step 9: settle: (worker|sleeper|lp2)|^dmesg: /,
		reason: `This is [finding 1](findings/1-bottom-of-func-stack.md) with an alias: the real kernel's transition does not end. What is read behind the end
of the list is a range in which nobody is in the emulated kernel.`,
	},
	{
		scenario: "alias-reverse",
		differences: /functions with a livepatch: here funcB funcE funcE_alias, on the real kernel funcB funcE_alias$/,
		reason: ONE_LINE,
	},
	{
		scenario: "fork",
		differences:
			/^step 5: fork early from parent: early: (patch_state|\/proc\/PID\/patch_state): here IDLE, on the real kernel PATCHED$/,
		reason: `\`window\` lets the transition end in the middle of the fork. A kernel does not say when: there the child is on the task list before, and has
its parent's patch_state until the transition ends.`,
	},
	{
		scenario: "sysfs-writer-up",
		differences:
			/^command \d: here 'echo 1 > lp2\/replaceable ENOENT', on the real kernel 'echo 1 > lp2\/replaceable EACCES'$/,
		reason: `mainline has no file \`replaceable\`. The shell of the real machine opens it with O_CREAT, which sysfs does not permit; the step \`echo\` only
writes to files that are there.`,
	},
	{
		scenario: "force-rmmod",
		differences: /^step 13: rmmod lp1: S: in: here \(none\), on the real kernel lp1_funcA$/,
		reason: `[Finding 6](findings/6-rmmod-after-force.md): S sleeps in text that is gone. The harness remembers where it fell asleep; the emulated stack has no
function there any more. When S wakes up, both report a fault.`,
	},
];

const EXITS =
	"No function of a scenario is called by do_exit(); [finding 8](findings/8-exiting-tasks.md) has a kit by hand.";
/** Scenarios without a record, and why: a scenario has one, or is here. */
const NOT_RECORDED: Readonly<Record<string, string>> = {
	"exit-in-function": EXITS,
	"exit-replaced": EXITS,
	"flush-locked":
		"The deadlock comes on the real kernel too, at its only step, so that no state is recorded: insmod stays in __flush_work(), called by the callback in klp_complete_transition() (blocked task, after 241 s).",
};
const SELFTESTS = "scenarios/selftests";

/** What was found by random scenarios, by hand: the last campaign. */
const CAMPAIGN = `Seeds 1 to 300, 8 actions each: 300 scenarios, some 154,000 facts. 298 agree, but for timing that has a name above (36 to 300 were compared
again since facts of one moment are judged together; 1 to 35, whose transcripts of before were gone, were run again: 18,642 facts, all
35 agree). 'Unswitched' and
'behind' come where tasks of the machine itself, or ones that sleep in no function, hold the real transition for up to a second more;
'otherwise' where a kernel thread was caught inside a function at one look, and not on the other machine. Two differ:

* seed 80: kwork switches to lp4 on the real kernel, and has not switched back when it is looked at; here it was caught in a function each time, and never
  ran lp4. Each alone is timing with a name (*otherwise*, *unswitched*), both together are not.
* seed 139: S3 is a kernel thread, forked while a transition goes back. On a real kernel its parent is kthreadd, which has not switched yet, and S3 has its
  patch_state (PATCHED), as the kit says of that step; here its parent is worker, which has. S3 then falls asleep in lp4_funcA there, in the
  original here. No difference of the kernels: the kit cannot choose the parent of a kernel thread.

Seeds 1001 to 1030, 16 actions each: 33,327 facts. 29 agree. One differs:

* seed 1026: S1 sleeps in the original funcA, after force; lp5 is turned round twice, and does not look for the original, because lp2 is below it. So nobody
  holds S1 up, and it is switched when it is looked at again, within a second. Here that is before the next step; on the real kernel, S1 is woken up
  first. Not counted as *unswitched*, because it sleeps in a function.

Again: \`npm run against-kernel -- --seed N --count M --length 8\`; some 4 s a scenario on a quiet machine, 30 to 90 in one boot.`;

export function reasonFor(scenario: string, difference: string): string | undefined {
	return REASONS.find((one) => one.scenario === scenario && one.differences.test(difference))?.reason;
}

/** Reasons that explain nothing any more. */
export function unusedReasons(found: ReadonlyMap<string, readonly string[]>): string[] {
	const used = (reason: Reason) => (found.get(reason.scenario) ?? []).some((text) => reason.differences.test(text));
	return REASONS.filter((reason) => !used(reason)).map(({ scenario }) => scenario);
}

export function recordedScenarios(): string[] {
	return readdirSync(FOLDER)
		.filter((name) => name.endsWith(".txt"))
		.map((name) => basename(name, ".txt"))
		.sort();
}

/** Scenarios that have neither a record nor a reason, or both, or are gone. */
export function withoutStatus(): string[] {
	const all = FOLDERS.flatMap(scenariosIn);
	const known = [...recordedScenarios(), ...Object.keys(NOT_RECORDED)];
	const twice = known.filter((name, index) => known.indexOf(name) !== index);
	return [...all.filter((name) => !known.includes(name)), ...known.filter((name) => !all.includes(name)), ...twice];
}

function scenariosIn(folder: string): string[] {
	return readdirSync(folder)
		.filter((name) => name.endsWith(".yaml"))
		.map((name) => basename(name, ".yaml"));
}

export async function compareRecorded(name: string): Promise<Comparison> {
	const folder = FOLDERS.find((one) => readdirSync(one).includes(`${name}.yaml`));
	const file = `${folder}/${name}.yaml`;
	const transcript = parseTranscript(expanded(readFileSync(`${FOLDER}/${name}.txt`, "utf8")));
	const options = { host: nodeHost(file), design: transcript.design! };
	return compareTranscript(parseScenario(readFileSync(file, "utf8"), file), transcript, options);
}

/** One line each. */
export function textsOf({ differences }: Comparison): string[] {
	return differences.map(({ at, message }) => `${at}: ${message.split("\n")[0]}`);
}

async function document(): Promise<string> {
	const rows: string[] = [];
	const sections: string[] = [];
	for (const name of recordedScenarios()) {
		const compared = await compareRecorded(name);
		const { states, facts, commands, lines, timing } = compared;
		const texts = textsOf(compared);
		const kinds = [...timing.keys()].filter((kind) => kind !== "retries").join(", ");
		rows.push(
			`| \`${name}\` | ${states} | ${facts} | ${commands} | ${lines} | ${kinds} | ${texts.length === 0 ? "agrees" : `${texts.length} differences`} |`,
		);
		if (texts.length === 0) continue;
		const reasons = [...new Set(texts.map((text) => reasonFor(name, text) ?? "**Not explained.**"))];
		sections.push(`### \`${name}\``, "", ...reasons, "", ...texts.map((text) => `* ${text}`), "");
	}
	return [
		"# The emulated and a real kernel",
		"",
		"Written by `npm run differences`; the reasons are by hand (tools/differences.ts). Each scenario of scenarios/ that a kernel can make was made by",
		"Linux 6.12.117 (Debian) in QEMU, by `klpemu kit` and `klpemu vm`; test/golden/real-kernel has the records, which CI compares again.",
		"",
		"| scenario | states | facts | commands | lines of dmesg | timing | |",
		"|---|---|---|---|---|---|---|",
		...rows,
		"",
		"Timing, which does not count:",
		"",
		...(Object.keys(TIMING) as Timing[]).map((kind) => `* *${kind}*: ${TIMING[kind]}`),
		"",
		"## Differences, and why",
		"",
		...(sections.length === 0 ? ["None."] : sections),
		"## Random scenarios",
		"",
		CAMPAIGN,
		"",
		"## Scenarios without a record",
		"",
		"Every scenario of scenarios/ has a row above, or is here; a test holds that.",
		"",
		...Object.entries(NOT_RECORDED).map(([name, reason]) => `* \`${name}\`: ${reason}`),
		`* ${scenariosIn(SELFTESTS)
			.map((name) => `\`${name}\``)
			.join(
				", ",
			)}: the kernel's own scripts were run on that kernel; \`klpemu selftest\` compares with what they logged.`,
		"",
		"## What is not compared",
		"",
		"* Designs other than mainline, but for `rfc-petr`: they need a kernel of their own (`klpemu vm --kernel`).",
		"* How often an ftrace_ops is called: a task that is asked what it runs passes the fentry sites.",
		"",
	].join("\n");
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
	writeFileSync("docs/differences.md", await document());
}
