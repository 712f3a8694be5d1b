/** The kernel's own livepatch code and its transcription have the same verdict on the same scenario, in every schedule. */
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { INVARIANTS } from "../../../src/consistency/index.js";
import type { KernelCore } from "../../../src/linux/klp-c/index.js";
import { nodeHost } from "../../../src/node/index.js";
import { exploreScenario, parseScenario } from "../../../src/scenario/index.js";
import { kernelCore } from "../../support/kernel-core.js";

const FAMILY = "scenarios/family";
/** Those that the C finishes soon. With KLPEMU_SECONDS=N all others are tried, each for N seconds of processor time. */
const SMALL = ["two-names.yaml", "two-names-sleeper.yaml", "one-address.yaml", "bottom-reverse.yaml"];
const SECONDS = Number(process.env.KLPEMU_SECONDS ?? 0);
/** The invariant that the first schedule breaks; else `complete` or `bounded`. */
async function verdict(file: string, core?: KernelCore): Promise<string> {
	const scenario = parseScenario(await readFile(file, "utf8"), file);
	const end = process.cpuUsage().user + 1e6 * SECONDS;
	const interrupted = () => SECONDS > 0 && process.cpuUsage().user > end;
	const limits = { budget: 4_000_000, invariants: new Set(INVARIANTS), all: false, reduction: true, interrupted };
	const machine = core === undefined ? { design: "mainline" } : { core };
	const { exploration } = await exploreScenario({ scenario, machine: { host: nodeHost(file), ...machine }, ...limits });
	return exploration.violations[0]?.broken.invariant ?? exploration.result;
}

const files = readdirSync(FAMILY).filter((file) => file.endsWith(".yaml"));

test.for(files)("%s", { timeout: 3_600_000 }, async (name, { skip }) => {
	const core = await kernelCore(skip);
	if (SECONDS === 0 && !SMALL.includes(name))
		skip("KLPEMU_SECONDS=600 npm run test:long: it takes the C minutes, or longer");
	const inC = await verdict(`${FAMILY}/${name}`, core);
	if (inC === "bounded") skip(`${SECONDS} seconds were not enough`);
	const mainline = await verdict(`${FAMILY}/${name}`);
	expect(inC).toBe(mainline);
});
