import { constants } from "node:fs";
import { access, readdir } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { KlpemuError, printableJson } from "../../base/index.js";
import { installedHeaders, PLACES } from "../kernel/index.js";
import { koffiEngine, unicornJsEngine } from "../unicorn/index.js";
import { type Command, EXIT, type Io } from "./command.js";
import { columnsOf, foldTo } from "./fold.js";

interface DoctorOptions {
	readonly json: boolean;
}

/** Something that klpemu can use. */
interface Finding {
	readonly name: string;
	/** What there is; null: nothing. */
	readonly found: string | null;
	/** What it is for. */
	readonly adds: string;
	/** How to get it. */
	readonly install: string;
}

const NODE = [20, 19] as const;

export const doctorCommand: Command<DoctorOptions> = {
	positionals: [],
	options: { json: { type: "flag", help: "print a JSON array of { name, found, adds, install }" } },
	details: [
		"Only Node is needed to run scenarios of this package; each of the others adds something.",
		"Exit status: 0, or 1 if Node is too old.",
	],
	async run({ json }, _positionals, io) {
		const { stdout, env } = io;
		const all = await examine(env);
		if (json) stdout.write(`${printableJson(all)}\n`);
		else for (const finding of all) stdout.write(foldTo(lines(finding), columnsOf(io)));
		return all[0]!.found === null ? EXIT.no : EXIT.ok;
	},
};

function lines({ name, found, adds, install }: Finding): string {
	const mark = found === null ? "-" : "✓";
	const rest = found === null ? `    to get it: ${install}\n` : "";
	return `${mark} ${name}: ${found ?? "not there"}\n    for: ${adds}\n${rest}`;
}

async function examine(env: Io["env"]): Promise<Finding[]> {
	const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
	const isNew = major > NODE[0] || (major === NODE[0] && minor >= NODE[1]);
	const program = (name: string) => inPath(name, env.PATH ?? "");
	const sources = await matching(PLACES.usrSrc, /^linux-source-\d+\.\d+(\.tar\.\w+)?$/);
	const headers = await orNull(installedHeaders(PLACES));
	return [
		{
			name: "Node",
			found: isNew ? process.versions.node : null,
			adds: "everything",
			install: `Node ${NODE.join(".")} or newer; this is ${process.versions.node}`,
		},
		{
			name: "gcc",
			found: await program(env.CC ?? "gcc"),
			adds: "C and assembly sources of your own (objects of this package are there compiled)",
			install: "apt-get install gcc",
		},
		{
			name: "unicorn",
			found: await unicorn(),
			adds: "--cpu unicorn, the reference processor",
			install: "npm install koffi, and apt-get install libunicorn2",
		},
		{
			name: "kernel source",
			found: sources.join(", ") || null,
			adds: "klpemu kernel build, and the kernel's own selftest modules",
			install: "apt-get install linux-source-6.12 xz-utils",
		},
		{
			name: "kernel headers",
			found: headers?.folder ?? null,
			adds: "klpemu kernel build",
			install: "apt-get install linux-headers-6.12-cloud-amd64",
		},
		{
			name: "make",
			found: await program("make"),
			adds: "klpemu kernel build",
			install: "apt-get install make",
		},
		{
			name: "patch",
			found: await program("patch"),
			adds: "klpemu kernel build --patch",
			install: "apt-get install patch",
		},
	];
}

async function unicorn(): Promise<string | null> {
	const engine = async () => (await unicornJsEngine()) ?? (await koffiEngine());
	return (await orNull(engine()))?.description ?? null;
}

/** null for what klpemu refuses. */
async function orNull<T>(found: Promise<T>): Promise<T | null> {
	try {
		return await found;
	} catch (error) {
		if (error instanceof KlpemuError) return null;
		throw error;
	}
}

/** The path of a program, as a shell finds it. */
async function inPath(name: string, path: string): Promise<string | null> {
	for (const folder of name.includes("/") ? [""] : path.split(delimiter).filter((part) => part !== "")) {
		const file = folder === "" ? name : join(folder, name);
		const isThere = await access(file, constants.X_OK).then(
			() => true,
			() => false,
		);
		if (isThere) return file;
	}
	return null;
}

/** The entries of a folder whose names match; none if there is no such folder. */
async function matching(folder: string, name: RegExp): Promise<string[]> {
	const names = await readdir(folder).catch(() => []);
	return names
		.filter((entry) => name.test(entry))
		.sort()
		.map((entry) => join(folder, entry));
}
