/** Files of the user: a .ko is checked, and gets a scenario; an .o can be named by one. */
import { type CheckReport, KINDS as KINDS_OF_FINDING } from "../../../../src/check/index.js";
import type { App } from "../app.js";
import { h } from "../dom.js";
import type { Tool } from "./tool.js";

/** The largest file that the page takes. */
const MOST_BYTES = 64 << 20;
const KINDS = /\.(ko|o|klpcore|symvers|map)$|^(vmlinux|System\.map.*|kallsyms|Module\.symvers)$/;

/** Objects that can hold a livepatch. */
const OBJECT = /\.k?o$/;
/** What only a linked module has: klpemu links an object itself. */
const OF_MODULES: readonly string[] = ["no-this-module", "no-vermagic"];

/** Takes files that were dropped or chosen. */
export async function takeFiles(app: App, files: Iterable<File>): Promise<void> {
	app.problem(undefined);
	try {
		const taken: { name: string; bytes: Uint8Array }[] = [];
		for (const file of files) {
			if (!KINDS.test(file.name)) throw new Error(refusal(file.name));
			if (file.size > MOST_BYTES)
				throw new Error(`${file.name} has ${file.size} bytes, at most ${MOST_BYTES} are read`);
			taken.push({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) });
		}
		await app.addFiles(taken);
		await app.drawer.show((own) => filesTool(own, taken.find(({ name }) => OBJECT.test(name))?.name));
	} catch (error) {
		app.problem(error);
	}
}

function refusal(name: string): string {
	if (/\.[cS]$/.test(name)) return `${name} is a source, and the page has no compiler: gcc -c it, and drop the .o`;
	if (/\.ko\.\w+$/.test(name)) return `${name} is compressed: unpack it (xz -dk, zstd -dk, gzip -dk), and drop the .ko`;
	return `${name} is no object: drop a .ko, an .o, a .klpcore, or a kernel's System.map, Module.symvers or vmlinux`;
}

export async function filesTool(app: App, module?: string): Promise<Tool> {
	const input = h("input", {
		type: "file",
		multiple: true,
		"aria-label": "files",
		change: () => void takeFiles(app, input.files ?? []),
	});
	const names = [...app.files.keys()];
	const body: HTMLElement[] = [
		h(
			"p",
			{},
			"Drop a livepatch (.ko), objects (.o), or a kernel's System.map and Module.symvers, anywhere on the page; or choose: ",
			input,
		),
	];
	if (names.length > 0)
		body.push(h("p", { class: "none" }, `here: ${names.join(", ")}. A scenario names them like any source.`));
	for (const name of names.filter((one) => OBJECT.test(one) && (module === undefined || one === module))) {
		const against = names.filter((other) => other !== name && !other.endsWith(".o") && !other.endsWith(".klpcore"));
		const report = await app.client.ask("check", { name, against });
		// Any other object is code for a scenario.
		if (name.endsWith(".ko") || report.patches.length > 0) body.push(...reportOf(app, name, report));
	}
	return { title: "Your own livepatch", focus: input, body };
}

function reportOf(app: App, file: string, report: CheckReport): HTMLElement[] {
	const verdicts = {
		clean: "✓ nothing is wrong",
		wrong: "✗ something is wrong",
		refused: "✗ the kernel will refuse it",
	};
	const patched = report.patches.flatMap(({ objects }) =>
		objects.flatMap(({ name, funcs }) =>
			funcs.map((func) => h("li", {}, h("code", {}, `${name}: ${func.oldName ?? "?"} → ${func.newFunc ?? "?"}`))),
		),
	);
	const found = report.findings.filter(({ kind }) => file.endsWith(".ko") || !OF_MODULES.includes(kind));
	const verdict = found.find(({ weight }) => weight !== "remark")?.weight ?? "clean";
	const findings = found.map(({ kind, weight, what, errno, dmesg, advice }) =>
		h(
			"li",
			{},
			h("strong", {}, `${weight}${errno === undefined ? "" : ` ${errno}`}: `),
			`${[KINDS_OF_FINDING[kind].fault, what].filter((text) => text !== "").join(" ")} (${advice})`,
			dmesg === undefined ? undefined : h("code", {}, ` ${dmesg}`),
		),
	);
	const run = (beside: string) => () => {
		const text = scenarioFor(file, report);
		void app.open({
			...app.shown,
			scenario: "own.yaml",
			text,
			design: "mainline",
			beside,
			schedule: "run",
			at: undefined,
			task: "",
		});
	};
	return [
		h("h3", {}, `klpemu check ${file}: ${verdicts[verdict as CheckReport["verdict"]]}`),
		h("ul", {}, ...patched, ...findings),
		h(
			"p",
			{ class: "controls" },
			h("button", { type: "button", class: "plain", click: run("") }, "Run it"),
			h("button", { type: "button", class: "plain", click: run("universe") }, "Run it, universe beside it"),
			h(
				"span",
				{ class: "none" },
				"Then Edit shows its scenario, Explore tries every schedule, and Each design compares.",
			),
		),
	];
}

/** Loads it, lets the transition end, and takes it away again. */
export function scenarioFor(file: string, report: CheckReport): string {
	const name = report.module.name;
	const quoted = JSON.stringify(file);
	return `title: ${JSON.stringify(`${file}: loaded, disabled, removed`)}
design: mainline
vmlinux: [asm/vmlinux/kernel.c] # common functions of the kernel, or name an .o of your own here
livepatches:
  ${JSON.stringify(name)}: { sources: [${quoted}] }
tasks:
  worker: { count: 2 }
  kwork: { kthread: true }
steps:
  - insmod: ${JSON.stringify(name)}
  - settle
  - disable: ${JSON.stringify(name)}
  - settle
  - rmmod: ${JSON.stringify(name)}
`;
}
