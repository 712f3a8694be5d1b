/** The rules of the house (docs/architecture.md), held by reading the sources. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Every folder of src, from the ground up: a folder imports only folders that stand before it in this list. */
const ORDER = [
	...["base", "memory", "cpu", "elf", "assemble", "disasm", "exec"],
	...["lib", "sched", "ftrace", "guest", "klp", "module", "exports", "klp-c", "fs"].map((name) => `linux/${name}`),
	...["designs", "check", "machine", "consistency", "report", "explore", "scenario", "index.ts", "node", "node/cli"],
];

function filesBelow(folder: string): string[] {
	return (
		readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
			.filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
			.map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
			// npm run mutation installs its own.
			.filter((file) => !file.includes("/node_modules/"))
			.sort()
	);
}

const sources = filesBelow("src");
const others = ["test", "bench", "tools", "web"].flatMap(filesBelow);
const text = new Map([...sources, ...others].map((file) => [file, readFileSync(join(ROOT, file), "utf8")]));

interface Import {
	readonly from: string;
	/** A file of the project, or what the import says: `node:fs`, `valibot`. */
	readonly to: string;
}

function importsOf(file: string): Import[] {
	const found = text
		.get(file)!
		.matchAll(/^\s*(?:import|export)\b[^;"']*?\bfrom\s+"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm);
	return [...found].map(([, statement, call]) => {
		const specifier = (statement ?? call)!;
		if (!specifier.startsWith(".")) return { from: file, to: specifier };
		return { from: file, to: join(dirname(file), specifier).replaceAll("\\", "/").replace(/\.js$/, ".ts") };
	});
}

const imports = [...text.keys()].flatMap(importsOf);
const inside = imports.filter(({ from, to }) => from.startsWith("src/") && to.startsWith("src/"));

/** The entry of ORDER that a file of src belongs to. */
function room(file: string): string {
	const below = file.slice("src/".length);
	const fits = ORDER.filter((name) => below === name || below.startsWith(`${name}/`));
	// node/cli is inside node, and an own entry.
	return fits.sort((a, b) => b.length - a.length)[0] ?? `(no room: ${file})`;
}

const arrow = ({ from, to }: Import) => `${from} -> ${to}`;

describe("imports", () => {
	test("the list of rooms is complete", () => {
		expect(sources.map(room).filter((name) => name.startsWith("("))).toEqual([]);
		expect(ORDER.filter((name) => !sources.some((file) => room(file) === name))).toEqual([]);
	});

	test("every import was found, and leads to a file that exists", () => {
		expect(inside.length).toBeGreaterThan(500);
		expect(inside.filter(({ to }) => !existsSync(join(ROOT, to))).map(arrow)).toEqual([]);
	});

	test("a folder imports only folders that stand before it", () => {
		const upward = inside.filter(({ from, to }) => ORDER.indexOf(room(to)) > ORDER.indexOf(room(from)));
		expect(upward.map(arrow)).toEqual([]);
	});

	test("an import from another folder ends at a door, index.ts", () => {
		const past = imports.filter(({ from, to }) => {
			if (!to.startsWith("src/") || basename(to) === "index.ts") return false;
			// A test may open the folder that it mirrors.
			const home = dirname(from).replace(/^test/, "src");
			return dirname(to) !== home && !home.startsWith(`${dirname(to)}/`);
		});
		expect(past.map(arrow)).toEqual([]);
	});

	test("no circle between files, imports of types included", () => {
		expect(circles(inside)).toEqual([]);
	});

	test("node: appears below src/node only", () => {
		const node = imports.filter(({ from, to }) => to.startsWith("node:") && from.startsWith("src/"));
		expect(node.filter(({ from }) => !from.startsWith("src/node/")).map(arrow)).toEqual([]);
		expect(node.length).toBeGreaterThan(10);
	});
});

/** Files that import each other, directly or through others: each circle once, as a line. */
function circles(edges: readonly Import[]): string[] {
	const next = new Map<string, string[]>();
	for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
	const done = new Set<string>();
	const path: string[] = [];
	const found: string[] = [];
	const walk = (file: string): void => {
		const at = path.indexOf(file);
		if (at >= 0) found.push([...path.slice(at), file].join(" -> "));
		if (at >= 0 || done.has(file)) return;
		path.push(file);
		for (const to of next.get(file) ?? []) walk(to);
		path.pop();
		done.add(file);
	};
	for (const file of next.keys()) walk(file);
	return found;
}

test("circles() finds a circle", () => {
	const edges = ["a b", "b c", "c a", "c d"].map((pair) => ({ from: pair[0]!, to: pair[2]! }));
	expect(circles(edges)).toEqual(["a -> b -> c -> a"]);
	expect(circles(edges.slice(1))).toEqual([]);
});

describe("files", () => {
	test("names are kebab-case", () => {
		const names = [...sources, ...others].map((file) => basename(file).replace(/(\.test|\.d)?\.ts$/, ""));
		expect(names.filter((name) => !/^[a-z0-9]+([.-][a-z0-9]+)*$/.test(name))).toEqual([]);
	});

	test("no source has more than 610 lines", () => {
		const long = [...sources, ...others].filter((file) => text.get(file)!.split("\n").length > 610);
		expect(long).toEqual([]);
	});

	test("a file that a comment names exists", () => {
		const all = [...sources, ...others, ...filesNamedInComments()];
		const missing = [...sources, ...others].flatMap((file) =>
			[...comments(text.get(file)!).matchAll(/(?<![\w*$}./-])((?:[\w-]+\/)*[\w-]+\.(?:ts|S))\b(?!\.)/g)]
				.map(([, name]) => name!)
				.filter((name) => !all.some((other) => other === name || other.endsWith(`/${name}`)))
				.map((name) => `${file}: ${name}`),
		);
		expect(missing).toEqual([]);
	});
});

/** Other files that comments may name: the assembly. */
function filesNamedInComments(): string[] {
	// The kernel's own files, which the assembly stands for.
	const kernel = ["arch/x86/kernel/ftrace_64.S", "arch/x86/entry/entry_64.S"];
	return [...kernel, ...readdirSync(join(ROOT, "asm")).map((name) => `asm/${name}`)];
}

function comments(source: string): string {
	return [...source.matchAll(/\/\*[\s\S]*?\*\/|(?<!:)\/\/[^\n]*/g)].map(([comment]) => comment).join("\n");
}

describe("state", () => {
	test("no mutable variable of a module", () => {
		const mutable = sources.flatMap((file) =>
			[...text.get(file)!.matchAll(/^(?:export )?(?:let|var) (\w+)/gm)].map(([, name]) => `${file}: ${name}`),
		);
		expect(mutable).toEqual([]);
	});

	test("no mutable # field in linux and machine: what changes is declared state", () => {
		const mutable = sources
			.filter((file) => /^src\/(linux|machine)\//.test(file))
			.flatMap((file) =>
				[...text.get(file)!.matchAll(/^\t(?:static )?(#\w+)(?:!|\?)?\s*[:=;]/gm)].map(([, name]) => `${file}: ${name}`),
			);
		expect(mutable).toEqual([]);
	});

	test("a class that declares state gives its own name, and no other class has it", () => {
		const declared = sources
			.filter((file) => file !== "src/base/state.ts")
			.flatMap((file) =>
				[...text.get(file)!.matchAll(/\bstate = declareState(?:<[^>]*>)?\((?:"(\w+)")?/g)].map(({ index, 1: name }) => {
					const before = text.get(file)!.slice(0, index);
					return { file, name, own: [...before.matchAll(/^(?:export )?class (\w+)/gm)].at(-1)?.[1] };
				}),
			);
		expect(declared.length).toBeGreaterThan(50);
		expect(declared.filter(({ name, own }) => name === undefined || name !== own)).toEqual([]);
		const names = declared.map(({ name }) => name);
		expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
	});

	test("names of classes and functions reach neither states nor output: the command has short ones", () => {
		const asked = sources.filter((file) => /\bconstructor\.name\b|\bnew\.target\b/.test(text.get(file)!));
		// Messages about a class that lacks its declaration.
		expect(asked).toEqual(["src/base/object-graph.ts"]);
	});

	test("no test waits for a time, measures one, or has a limit of its own: machines are slow and fast", () => {
		// The configurations have the limits.
		const allowed = [
			// The editor ignores keys for 75 ms; other times are printed, and not judged.
			"test/web/page.long.ts",
			// Kills a search that has saved a checkpoint, at any time.
			"test/node/cli/explore-kill.long.ts",
		];
		const timed = others
			.filter((file) => /^test\/.*\.(test|long)\.ts$/.test(file) && !allowed.includes(file))
			.flatMap((file) =>
				[
					...text.get(file)!.matchAll(/\bset(?:Timeout|Interval)\(|\b(?:performance|Date)\.now\(|\}, \d+_000\);$/gm),
				].map(([call]) => `${file}: ${call}`),
			);
		expect(timed).toEqual([]);
	});

	test("no test replaces a module or moves the process: the files of one worker share both", () => {
		const shared = others
			.filter((file) => file.endsWith(".test.ts"))
			.flatMap((file) =>
				[...text.get(file)!.matchAll(/\b(?:vi\.(?:do)?[mM]ock|process\.(?:chdir|umask))\(/g)].map(
					([call]) => `${file}: ${call}`,
				),
			);
		expect(shared).toEqual([]);
	});
});
