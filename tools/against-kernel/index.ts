/**
 * npm run against-kernel [-- --seed N --count M --length L --kernel IMAGE --no-shrink --again]: makes M random scenarios, runs them on a real
 * kernel in as few boots as possible, compares, and shrinks what differs. Scenarios and transcripts are left in .cache/against-kernel; --again
 * compares with those that are there, without a kernel.
 */
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compareTranscript, type Difference, parseTranscript, type Timing } from "../../src/node/compare/index.js";
import { nodeHost } from "../../src/node/index.js";
import { makeKit } from "../../src/node/kit/index.js";
import { type BuiltKit, boot, buildKit, findKernel, type VmOptions } from "../../src/node/vm/index.js";
import { parseScenario } from "../../src/scenario/index.js";
import { FILE, randomUnits, scenarioText, type Unit } from "./random-steps.js";

const FOLDER = ".cache/against-kernel";

interface Case {
	readonly name: string;
	readonly units: readonly Unit[];
}

interface Result extends Case {
	readonly differences: readonly Difference[];
	readonly timing: ReadonlyMap<Timing, number>;
	readonly transcript: string;
	/** Facts and lines that were compared. */
	readonly facts: number;
}

const { values } = parseArgs({
	options: {
		seed: { type: "string", default: "1" },
		count: { type: "string", default: "20" },
		length: { type: "string", default: "12" },
		kernel: { type: "string" },
		again: { type: "boolean", default: false },
		"no-shrink": { type: "boolean", default: false },
	},
});

const scenarioOf = ({ name, units }: Case) => parseScenario(scenarioText(units, name), FILE);

/** All scenarios have the same modules, which are built once; each has a script of its own. */
class Runner {
	readonly #options: VmOptions;
	readonly #built: BuiltKit;

	private constructor(options: VmOptions, built: BuiltKit) {
		this.#options = options;
		this.#built = built;
	}

	static async create(): Promise<Runner> {
		const kernel = await findKernel(values.kernel, undefined);
		const progress = (text: string) => void process.stderr.write(`${text}\n`);
		await rm(join(FOLDER, "kit"), { recursive: true, force: true });
		const { files } = await makeKit(scenarioOf({ name: "all", units: [] }), "mainline");
		for (const [path, text] of files) {
			await mkdir(join(FOLDER, "kit", path, ".."), { recursive: true });
			await writeFile(join(FOLDER, "kit", path), text);
		}
		const built = await buildKit(join(FOLDER, "kit"), kernel);
		return new Runner({ kernel, progress, append: "", accel: undefined, timeout: 3600, skipsIdleTime: true }, built);
	}

	async run(cases: readonly Case[]): Promise<Result[]> {
		const results: Result[] = [];
		let left = cases;
		while (left.length > 0) {
			const kits: BuiltKit[] = [];
			for (const one of left) {
				const script = `${one.name}.sh`;
				const path = join(this.#built.folder, script);
				await writeFile(
					path,
					(await makeKit(scenarioOf(one), "mainline")).files
						.get("run.sh")!
						.replace(/^begin '.*?'/m, `begin ${one.name}`),
				);
				await chmod(path, 0o755);
				kits.push({ ...this.#built, name: one.name, script });
			}
			const { runs, failure, console } = await boot(kits, this.#options);
			for (const [index, { transcript }] of runs.entries()) {
				await leave(left[index]!, transcript);
				results.push(await judge(left[index]!, transcript));
			}
			if (failure !== undefined) process.stderr.write(`${failure}\n${console.split("\n").slice(-30).join("\n")}\n`);
			if (runs.length === 0) throw new Error("the machine runs no scenario");
			left = left.slice(runs.length);
		}
		return results;
	}
}

const pathOf = ({ name }: { readonly name: string }, end: string) => join(FOLDER, `${name}.${end}`);

async function leave(one: Case, transcript: string): Promise<void> {
	await writeFile(pathOf(one, "yaml"), scenarioText(one.units, one.name));
	await writeFile(pathOf(one, "txt"), transcript);
}

/** Compares with the transcripts that are there. */
async function judgeAgain(cases: readonly Case[]): Promise<Result[]> {
	const results: Result[] = [];
	for (const one of cases) {
		const text = await readFile(pathOf(one, "txt"), "utf8").catch(() => undefined);
		if (text === undefined) process.stderr.write(`${one.name} was not run\n`);
		else results.push(await judge(one, text));
	}
	return results;
}

async function judge(one: Case, text: string): Promise<Result> {
	const scenario = scenarioOf(one);
	const compared = await compareTranscript(scenario, parseTranscript(text), { host: nodeHost(FILE) });
	const facts = compared.facts + compared.commands + compared.lines;
	return { ...one, differences: compared.differences, timing: compared.timing, transcript: text, facts };
}

/** Leaves out actions as long as a difference remains; all candidates of a round in one boot. */
async function shrink(runner: Runner, result: Result): Promise<Result> {
	let best = result;
	for (let round = 0; round < 8; round++) {
		const shorter = best.units.map((_unit, index) => ({
			name: `${result.name}-${round}-${index}`,
			units: best.units.filter((_other, i) => i !== index),
		}));
		const valid = shorter.filter(isValid);
		const smaller = (await runner.run(valid)).find(({ differences }) => differences.length > 0);
		if (smaller === undefined) break;
		best = smaller;
	}
	return best;
}

/** A step may name a task that an action which was left out would have made. */
function isValid(one: Case): boolean {
	try {
		scenarioOf(one);
		return true;
	} catch {
		return false;
	}
}

const [seed, count, length] = [BigInt(values.seed), Number(values.count), Number(values.length)];
const cases: Case[] = [];
for (let i = 0; i < count; i++) {
	cases.push({ name: `seed-${seed + BigInt(i)}`, units: await randomUnits(seed + BigInt(i), length) });
}
// What a forced livepatch leaves cannot be unloaded, and ends a boot: those come last.
const forces = ({ units }: Case) => units.flat().includes("force");
cases.sort((a, b) => Number(forces(a)) - Number(forces(b)));
const runner = values.again ? undefined : await Runner.create();
const results = runner === undefined ? await judgeAgain(cases) : await runner.run(cases);
const differing = results.filter(({ differences }) => differences.length > 0);
const timing = new Map<Timing, number>();
for (const result of results)
	for (const [kind, times] of result.timing) timing.set(kind, (timing.get(kind) ?? 0) + times);
const facts = results.reduce((sum, result) => sum + result.facts, 0);
process.stdout.write(
	`${results.length} scenarios, seeds ${seed} to ${seed + BigInt(count) - 1n}: ${facts} facts, ${differing.length} scenarios differ\n`,
);
for (const [kind, times] of timing) process.stdout.write(`  timing: ${kind} ${times}\n`);
const tell = (result: Result) => {
	process.stdout.write(`${result.name}: ${result.units.length} actions: ${pathOf(result, "yaml")}\n`);
	for (const { at, message } of result.differences) process.stdout.write(`  ${at}: ${message}\n`);
};
differing.forEach(tell);
// Shrinking boots again, for each of them several times.
if (runner !== undefined && !values["no-shrink"]) {
	for (const result of differing) {
		const small = { ...(await shrink(runner, result)), name: `${result.name}-small` };
		await leave(small, small.transcript);
		tell(small);
	}
}
process.exitCode = differing.length === 0 ? 0 : 1;
