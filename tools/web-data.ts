/**
 * Part of npm run build:web: the files that the page fetches, below dist/web/data. Scenarios with their saved schedules, sources with the
 * objects that gcc makes of them, the engine's assembly, and layouts of kernels.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { KlpemuError } from "../src/base/index.js";
import { parseSchedule } from "../src/explore/index.js";
import { engineImage, objectFor } from "../src/node/index.js";
import { parseScenario, type Scenario } from "../src/scenario/index.js";
import type { Manifest, SavedSchedule } from "../web/src/shared/protocol.js";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
const DATA = join(PROJECT, "dist/web/data");
const SCHEDULES = "test/consistency/schedules";
/** C that no scenario of the folder names, but that an own one may use. */
const MORE_SOURCES = ["asm/vmlinux", "asm/livepatches", "asm/modules"];

function put(path: string, content: string | Uint8Array): string {
	mkdirSync(dirname(join(DATA, path)), { recursive: true });
	writeFileSync(join(DATA, path), content);
	return path;
}

function list(folder: string, ending: string): string[] {
	const names = readdirSync(join(PROJECT, folder)).filter((name) => name.endsWith(ending));
	return names.sort().map((name) => `${folder}/${name}`);
}

function scenarios(): Map<string, Scenario> {
	const found = new Map<string, Scenario>();
	for (const path of [...list("scenarios", ".yaml"), ...list("scenarios/family", ".yaml")]) {
		const text = readFileSync(join(PROJECT, path), "utf8");
		found.set(path, parseScenario(text, path));
		put(path, text);
	}
	return found;
}

/** Sources of scenarios, by their place in the project, with the ways in which they are compiled. */
function sourcesOf(all: Iterable<Scenario>): Map<string, boolean> {
	const sources = new Map<string, boolean>();
	const add = (path: string, ibt: boolean) => sources.set(ibt ? `${path} (ibt)` : path, ibt);
	for (const scenario of all) {
		const { vmlinux, modules, livepatches, ibt, fileName } = scenario;
		const beside = (path: string) => join(dirname(fileName), path);
		const refs = [...vmlinux, ...[...modules.values(), ...livepatches.values()].flatMap((part) => part.sources)];
		for (const { path } of refs) add(existsSync(join(PROJECT, beside(path))) ? beside(path) : path, ibt);
	}
	for (const path of MORE_SOURCES.flatMap((folder) => list(folder, ".c"))) add(path, false);
	return sources;
}

async function objects(sources: ReadonlyMap<string, boolean>): Promise<Record<string, string>> {
	const made: Record<string, string> = {};
	for (const [key, ibt] of sources) {
		const path = key.replace(/ \(ibt\)$/, "");
		try {
			const { bytes } = await objectFor(join(PROJECT, path), { ibt });
			const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
			made[key] = put(`objects/${digest}.o`, bytes);
		} catch (error) {
			if (!(error instanceof KlpemuError && ["FILE_UNREADABLE", "GCC_MISSING"].includes(error.code))) throw error;
			console.log(`left out of the page: ${path} (${error.reason})`);
		}
	}
	return made;
}

/** The sources' texts, and those that they include by `"name"`: a schedule's fingerprint is of them. */
function texts(sources: Iterable<string>): string[] {
	const done = new Set<string>();
	const add = (path: string): void => {
		if (done.has(path) || !/\.[chS]$/.test(path)) return;
		const text = readFileSync(join(PROJECT, path), "utf8");
		done.add(path);
		put(`files/${path}`, text);
		for (const [, name] of text.matchAll(/^\s*#\s*include\s*"([^"]+)"/gm)) add(join(dirname(path), name!));
	};
	for (const key of sources) add(key.replace(/ \(ibt\)$/, ""));
	return [...done];
}

/** Where a schedule breaks the same under mainline, that one stands for all. */
function schedules(): SavedSchedule[] {
	const read = list(SCHEDULES, ".schedule").map((file) => {
		const text = readFileSync(join(PROJECT, file), "utf8");
		const { scenario, design, invariant, message, moves } = parseSchedule(text, file);
		return { file, text, scenario, design, invariant, message, moves: moves.length };
	});
	const key = ({ scenario, text }: (typeof read)[number]) =>
		[scenario, text.slice(text.indexOf("\ninvariant:"))].join();
	const mainline = new Set(read.filter(({ design }) => design === "mainline").map(key));
	const kept = read.filter((one) => one.design === "mainline" || !mainline.has(key(one)));
	return kept.map(({ file, text, ...saved }) => {
		// Comments say what each move does: the page makes the moves and says it, too. They are two thirds of the file.
		const path = put(`schedules/${file.slice(SCHEDULES.length + 1)}`, text.replace(/^( {2}.*?) +#.*$/gm, "$1"));
		return { path, ...saved };
	});
}

function layouts(): Record<string, string> {
	const files = list("asm/kernel-layouts", ".json");
	return Object.fromEntries(
		files.map((file) => {
			const text = readFileSync(join(PROJECT, file), "utf8");
			const { release } = JSON.parse(text) as { release: string };
			return [release, put(`layouts/${file.slice("asm/kernel-layouts/".length)}`, text)];
		}),
	);
}

rmSync(DATA, { recursive: true, force: true });
const found = scenarios();
const sources = sourcesOf(found.values());
const made = await objects(sources);
const manifest: Manifest = {
	scenarios: [...found].map(([path, { title, design }]) => ({ path, title, design })),
	schedules: schedules(),
	objects: made,
	texts: texts(Object.keys(made)),
	layouts: layouts(),
	engine: put("engine.json", JSON.stringify(await engineImage())),
};
put("manifest.json", JSON.stringify(manifest));
const schema: unknown = JSON.parse(readFileSync(join(PROJECT, "schema/scenario.schema.json"), "utf8"));
put("scenario.schema.json", JSON.stringify(schema));
