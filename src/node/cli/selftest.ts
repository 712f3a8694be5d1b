import { readdir, readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { KlpemuError, printable } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { Ktap } from "../../report/index.js";
import { type ModuleSpec, parseScenario, type Scenario } from "../../scenario/index.js";
import { CPU_NAMES } from "../cpus.js";
import { nodeHost } from "../host.js";
import { PROJECT } from "../project.js";
import { type Command, EXIT } from "./command.js";
import { coreOption, readCore } from "./core-option.js";

export interface SelftestOptions {
	readonly core: string | undefined;
	readonly design: string | undefined;
	readonly cpu: string | undefined;
	readonly modules: string | undefined;
}

const FOLDER = join(PROJECT, "scenarios", "selftests");

/** The parts of tools/testing/selftests/livepatch that are not run, and why. */
const NOT_RUN = [
	"not run: is_root, has_kdir, push_config, pop_config of functions.sh: no users, no kbuild, no other machine's settings to restore",
	"not run: the process test_klp-call_getpid of test-syscall.sh: there is no user space; tasks that call __x64_sys_getpid() stand for it",
];

/** `test-callbacks.sh: busy target module` */
const nameOf = (script: string, title: string) => `${script}: ${title}`;

function titles(scenario: Scenario): string[] {
	return scenario.steps.flatMap((step) => (step.kind === "test" ? [step.title] : []));
}

/** All scripts, in the order of their names. */
async function scripts(): Promise<{ script: string; file: string; scenario: Scenario }[]> {
	const files = (await readdir(FOLDER)).filter((file) => file.endsWith(".yaml")).sort();
	return Promise.all(
		files.map(async (name) => {
			const file = join(FOLDER, name);
			return {
				script: `${basename(name, ".yaml")}.sh`,
				file,
				scenario: parseScenario(await readFile(file, "utf8"), file),
			};
		}),
	);
}

/** The scenario with the modules of a folder. Throws `FILE_MISSING`. */
async function withModules(scenario: Scenario, folder: string): Promise<Scenario> {
	const files = await readdir(folder).catch(() => {
		throw new KlpemuError("FILE_MISSING", `there is no folder '${folder}'`, {
			hint: "npm run build:kernel-core makes .cache/kernel-ko",
		});
	});
	const sourceOf = (name: string): string => {
		// As kbuild names files: test_klp_state.ko, livepatch-sample.ko.
		const found = files.find((file) => /\.k?o$/.test(file) && file.replace(/\.k?o$/, "").replaceAll("-", "_") === name);
		if (found !== undefined) return resolve(folder, found);
		throw new KlpemuError("FILE_MISSING", `'${folder}' has no module ${name} (.ko or .o)`);
	};
	const moved = <Spec extends Pick<ModuleSpec, "name" | "sources">>(specs: ReadonlyMap<string, Spec>) =>
		new Map(
			[...specs].map(([name, spec]) => {
				const sources = spec.sources.map((source) => ({ ...source, path: sourceOf(name) }));
				return [name, { ...spec, sources }];
			}),
		);
	return { ...scenario, modules: moved(scenario.modules), livepatches: moved(scenario.livepatches) };
}

export const selftestCommand: Command<SelftestOptions> = {
	positionals: [{ name: "FILTER", help: "only scripts and tests whose name has this text", optional: true }],
	options: {
		design: {
			type: "text",
			value: "DESIGN",
			help: "the replace design, instead of mainline: which of these tests would it break?",
			choices: () => designs.map(({ name }) => name),
		},
		core: coreOption,
		modules: {
			type: "text",
			value: "DIR",
			help: "a folder with the modules, .ko or .o files",
		},
		cpu: { type: "text", value: "CPU", help: CPU_NAMES.join(" or "), choices: () => [...CPU_NAMES] },
	},
	details: [
		"Prints KTAP, script by script. What the kernel logs in each test is compared with what a real",
		"Linux 6.12 printed; a difference is shown as a unified diff. The modules are Linux's own sources,",
		"unchanged: npm run build:kernel-modules compiles them. Under another design they are what they are:",
		"fields that the design adds to struct klp_patch have its default. --modules .cache/kernel-ko runs",
		"the .ko files that npm run build:kernel-core makes.",
		"Exit status: 0 all ok, 1 not so, 2 bad input.",
	],
	async run({ design, cpu, core: file, modules }, [filter = ""], { stdout }) {
		const { runScenario } = await import("../../scenario/index.js");
		const core = await readCore("selftest", file, design);
		const chosen = (await scripts())
			.map((one) => ({
				...one,
				wanted: titles(one.scenario).filter((title) => nameOf(one.script, title).includes(filter)),
			}))
			.filter(({ wanted }) => wanted.length > 0);
		if (chosen.length === 0) {
			throw new KlpemuError("CLI_BAD_ARGUMENT", `no test has '${filter}' in its name`, {
				hint: "klpemu selftest lists them all",
			});
		}
		const ktap = new Ktap();
		// Each script as soon as it has run: who interrupts the rest keeps the results.
		const print = (text: string) => void stdout.write(printable(text));
		print(ktap.head(chosen.length));
		for (const { script, file, scenario, wanted } of chosen) {
			const report = await runScenario(modules === undefined ? scenario : await withModules(scenario, modules), {
				host: nodeHost(file),
				design,
				core,
				cpu,
			});
			const tests = report.tests!.filter(({ title }) => wanted.includes(title));
			print(ktap.suite({ name: script, report, tests }));
		}
		print(ktap.end(NOT_RUN));
		return ktap.allOk ? EXIT.ok : EXIT.no;
	},
};
