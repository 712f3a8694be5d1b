import { readFileSync } from "node:fs";
import { dirname, extname, join, relative, resolve, sep } from "node:path";
import { Hash, hashOfBytes, KlpemuError } from "../base/index.js";
import { compile, flagsFor, INCLUDE, type ObjectOptions } from "./compile.js";
import { readIfThere } from "./files.js";
import { PROJECT } from "./project.js";

const PREBUILT = join(PROJECT, "asm", "prebuilt");

/** Bytes of a relocatable object, ready for parseElf. */
export interface ObjectFile {
	readonly bytes: Uint8Array;
	/** For messages. */
	readonly fileName: string;
	/** Warnings of gcc; empty if there are none. */
	readonly warnings: string;
}

/** An entry of asm/prebuilt/manifest.json: the sources of a committed object, and its hash. */
export interface PrebuiltEntry {
	/** {@link sourceKey} of the source. */
	readonly key: string;
	/** `hashOfBytes()` of the object. */
	readonly object: string;
	/** Path of the object below asm/prebuilt. */
	readonly file: string;
}

export type Manifest = Readonly<Record<string, PrebuiltEntry>>;

/** `asm/vmlinux/funcs.c` and, for the variant with endbr64, `asm/vmlinux/funcs.c (ibt)`. */
export function manifestKey(projectPath: string, options: ObjectOptions): string {
	return options.ibt ? `${projectPath} (ibt)` : projectPath;
}

/** A hash of everything that an object depends on: flags, source, and every header of asm/include that it includes. */
export async function sourceKey(path: string, options: ObjectOptions): Promise<string> {
	const hash = new Hash();
	for (const flag of flagsFor(options)) hash.add(flag);
	const seen = new Set<string>();
	const add = async (file: string): Promise<void> => {
		if (seen.has(file)) return;
		seen.add(file);
		const bytes = readFileSync(file);
		const text = bytes.toString("utf8");
		hash.add(relative(PROJECT, file).split(sep).join("/"));
		hash.addBytes(bytes);
		for (const [, quote, name] of text.matchAll(/^\s*#\s*include\s*([<"])([^">]+)[">]/gm)) {
			await add(quote === '"' ? resolve(dirname(file), name!) : join(INCLUDE, name!));
		}
	};
	await add(path);
	return hash.digest();
}

/** The committed objects; empty if there are none. */
export async function readManifest(): Promise<Manifest> {
	try {
		return JSON.parse(readFileSync(join(PREBUILT, "manifest.json"), "utf8")) as Manifest;
	} catch {
		return {};
	}
}

/** The committed object of one of the repo's own sources, if it was made of exactly this source. Throws `PREBUILT_DAMAGED`. */
async function prebuilt(path: string, options: ObjectOptions): Promise<Uint8Array | undefined> {
	const projectPath = relative(PROJECT, path).split(sep).join("/");
	if (projectPath.startsWith("..")) return undefined;
	const entry = (await readManifest())[manifestKey(projectPath, options)];
	if (entry === undefined || entry.key !== (await sourceKey(path, options))) return undefined;
	const bytes = new Uint8Array(readFileSync(join(PREBUILT, entry.file)));
	if (hashOfBytes(bytes) !== entry.object) {
		throw new KlpemuError("PREBUILT_DAMAGED", "not the object that asm/prebuilt/manifest.json names", {
			where: join(PREBUILT, entry.file),
			hint: "npm run build:objects makes it again",
		});
	}
	return bytes;
}

/**
 * The object for a .c, .S, .o or .ko file: an .o or .ko as it is; one of the repo's own sources from asm/prebuilt; anything else compiled
 * by gcc now. Throws `GCC_MISSING`, `GCC_FAILED`, `GCC_INCLUDE`, `GCC_LIMIT`, `SOURCE_KIND`, `SOURCE_NAME`, `FILE_UNREADABLE`,
 * `PREBUILT_DAMAGED`.
 */
export async function objectFor(sourcePath: string, options: ObjectOptions = {}): Promise<ObjectFile> {
	const path = resolve(sourcePath);
	const kind = extname(path);
	// A compressed module too: parseElf() says what unpacks it.
	if (kind === ".o" || /\.ko(\.\w+)?$/.test(path))
		return { bytes: await read(path), fileName: sourcePath, warnings: "" };
	if (kind !== ".c" && kind !== ".S") {
		throw new KlpemuError("SOURCE_KIND", `'${sourcePath}' is neither C, assembly nor an object`, {
			hint: "sources end in .c, .S, .o or .ko",
		});
	}
	// Checked first: a missing folder would give the same error as a missing compiler.
	await read(path);
	const compiled = options.debug ? await withDebug(path, options) : undefined;
	if (compiled !== undefined) return { ...compiled, fileName: sourcePath };
	const committed = await prebuilt(path, options);
	if (committed !== undefined) return { bytes: committed, fileName: sourcePath, warnings: "" };
	return { ...(await compile(path, options)), fileName: sourcePath };
}

/** Undefined: there is no gcc. One of the repo's own sources has an object without debug information then. */
async function withDebug(path: string, options: ObjectOptions): Promise<Omit<ObjectFile, "fileName"> | undefined> {
	try {
		return await compile(path, options);
	} catch (error) {
		if (error instanceof KlpemuError && error.code === "GCC_MISSING") return undefined;
		throw error;
	}
}

async function read(path: string): Promise<Uint8Array> {
	const bytes = await readIfThere(path);
	if (bytes !== undefined) return new Uint8Array(bytes);
	throw new KlpemuError("FILE_UNREADABLE", `cannot read '${path}' (ENOENT)`, { where: path });
}
