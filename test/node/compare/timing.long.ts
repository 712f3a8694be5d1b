/** klpemu compare: what differs from run to run has a name and does not count; a true difference beside it does. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareTranscript, parseTranscript, type Timing } from "../../../src/node/compare/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { parseScenario } from "../../../src/scenario/index.js";
import { expanded } from "../../golden/compact.js";
import { cliOf } from "../../support/cli.js";

/** Random scenarios of npm run against-kernel, and what a real kernel did: each has a kind of timing that is rare. */
const FOLDER = "test/node/compare/timing";
const recorded = (name: string) => expanded(readFileSync(`${FOLDER}/${name}.txt`, "utf8"));

async function compare(name: string, text: string) {
	const file = `${FOLDER}/${name}.yaml`;
	const scenario = parseScenario(readFileSync(file, "utf8"), file);
	return compareTranscript(scenario, parseTranscript(text), { host: nodeHost(file) });
}

/** The lines of a state of which each has been changed. */
function changed(name: string, state: string, changes: readonly (readonly [RegExp, string])[]): string {
	const [before, rest] = recorded(name).split(`### --- STATE: ${state}\n`) as [string, string];
	const end = rest.search(/^### ===/m);
	let block = end < 0 ? rest : rest.slice(0, end);
	for (const [from, to] of changes) {
		expect(block).toMatch(from);
		block = block.replace(from, to);
	}
	return `${before}### --- STATE: ${state}\n${block}${end < 0 ? "" : rest.slice(end)}`;
}

const KINDS: readonly [string, Timing, number][] = [
	["behind", "behind", 16],
	["otherwise", "otherwise", 8],
	["unswitched", "unswitched", 27],
];
test.each(KINDS)(
	"%s: the record agrees but for this kind, which is counted, and listed apart",
	async (name, kind, count) => {
		const { differences, timing, forgiven } = await compare(name, recorded(name));
		expect(differences).toEqual([]);
		expect(timing.get(kind)).toBe(count);
		expect(forgiven.filter((one) => one.kind === kind)).toHaveLength(count);
	},
);

test("the kinds are named in what is printed, and in JSON", async () => {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-compare-"));
	const file = join(folder, "transcript.txt");
	writeFileSync(file, recorded("behind"));
	const args = ["compare", `${FOLDER}/behind.yaml`, file];
	const [json, text] = [await cliOf([...args, "--json"]), await cliOf(args)];
	rmSync(folder, { recursive: true });
	expect(json).toMatchObject({ status: 0, stdout: expect.stringContaining('"kind": "behind"') });
	expect(text.stdout).toMatch(/^ {2}behind, 16 x: the real kernel's transition was still open/m);
});

const CHANGES: readonly (readonly [
	string,
	string,
	string,
	readonly (readonly [RegExp, string])[],
	readonly string[],
])[] = [
	[
		"behind: a view that the kernel never had",
		"behind",
		"step 17: sleep 0.2",
		[[/(worker .*funcA=)lp2/, "$1lp1"]],
		["worker: funcA"],
	],
	[
		"behind: half of the views are old",
		"behind",
		"step 17: sleep 0.2",
		[[/(worker .*funcA=)lp2/, "$1orig"]],
		["worker: funcA"],
	],
	[
		"behind: patch_state stays behind at settle",
		"behind",
		"step 19: settle",
		[[/(worker .*patch_state=)-1/, "$1 1"]],
		["worker: patch_state"],
	],
	[
		"behind: a transition that is still open at settle",
		"behind",
		"step 19: settle",
		[[/(lp2: .*transition=)0/, "$11"]],
		["lp2/transition"],
	],
	[
		"behind: TIF_PATCH_PENDING is left over",
		"behind",
		"step 19: settle",
		[[/(worker .*pending=)0/, "$11"]],
		["worker: pending"],
	],
	["behind: a reference count", "behind", "step 17: sleep 0.2", [[/(modules: .*lp2=)1/, "$13"]], ["refcnt of lp2"]],
	[
		"otherwise: a view that no seed gives",
		"otherwise",
		"step 12: insmod lp5",
		[[/(kwork .*funcA=)lp5/, "$1lp3"]],
		["kwork: funcA"],
	],
	[
		"otherwise: a patch_state that no seed gives with this flag",
		"otherwise",
		"step 12: insmod lp5",
		[[/(kwork .*patch_state=-1 pending=)0/, "$11"]],
		["kwork: patch_state"],
	],
	[
		"unswitched: another view than the one before",
		"unswitched",
		"step 19: sleep 0.2",
		[[/(kwork .*funcA=)lp2/, "$1lp5"]],
		["kwork: funcA", "kwork: funcB"],
	],
	[
		"unswitched: half of the views are new",
		"unswitched",
		"step 19: sleep 0.2",
		[[/(kwork .*funcA=)lp2/, "$1orig"]],
		["kwork: funcB"],
	],
	[
		"unswitched: a flag that no transition has set",
		"unswitched",
		"step 22: settle",
		[[/(kwork .*pending=)0/, "$11"]],
		["kwork: pending"],
	],
	[
		"a task that sleeps in a function here, and outside there",
		"unswitched",
		"step 19: sleep 0.2",
		[[/(task S2 .*in=)funcB {14}/, "$1(no patched func) "]],
		["S2: in"],
	],
];
describe("a true difference is not hidden by them", () => {
	test.each(CHANGES)("%s", async (_title, name, state, changes, expected) => {
		const { differences } = await compare(name, changed(name, state, changes));
		const wrong = differences.filter(({ at }) => at === state).map(({ message }) => message.split(": here")[0]);
		expect(wrong).toEqual(expected);
		expect(differences).toHaveLength(expected.length);
	});
});
