/** npm run build:objects: compiles the repo's own sources, with and without endbr64, and assembles the engine's, into asm/prebuilt. */
import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashOfBytes } from "../src/base/index.js";
import {
	assembleEngineImage,
	compile,
	type Manifest,
	manifestKey,
	PROJECT,
	sourceKey,
	writeFolder,
} from "../src/node/index.js";

const FOLDERS = ["asm/vmlinux", "asm/modules", "asm/livepatches"];
const PREBUILT = join(PROJECT, "asm", "prebuilt");

async function sources(): Promise<string[]> {
	const found: string[] = [];
	for (const folder of FOLDERS) {
		const names = await readdir(join(PROJECT, folder)).catch(() => []);
		found.push(...names.filter((name) => name.endsWith(".c")).map((name) => `${folder}/${name}`));
	}
	return found.sort();
}

/** Of debug information only the lines are read: the rest is half of an object, and the package has each of them three times. */
async function withLines(bytes: Uint8Array): Promise<Uint8Array> {
	const folder = await mkdtemp(join(tmpdir(), "klpemu-objects-"));
	try {
		const path = join(folder, "file.o");
		await writeFile(path, bytes);
		const kept = [".debug_line", ".debug_line_str", ".rela.debug_line"].map((name) => `--keep-section=${name}`);
		execFileSync("objcopy", ["--strip-debug", ...kept, path], { stdio: "inherit" });
		return await readFile(path);
	} finally {
		await rm(folder, { recursive: true });
	}
}

const files = new Map<string, string | Uint8Array>();
const manifest: Record<string, Manifest[string]> = {};
for (const source of await sources()) {
	for (const ibt of [false, true]) {
		const path = join(PROJECT, source);
		const { bytes: compiled, warnings } = await compile(path, { ibt });
		if (warnings !== "") throw new Error(`${source}: ${warnings}`);
		const bytes = await withLines(compiled);
		const file = source.replace(/^asm\//, "").replace(/\.c$/, ibt ? ".ibt.o" : ".o");
		files.set(file, bytes);
		manifest[manifestKey(source, { ibt })] = { key: await sourceKey(path, { ibt }), object: hashOfBytes(bytes), file };
	}
}
const json = (value: unknown) => `${JSON.stringify(value, undefined, "\t")}\n`;
files.set("manifest.json", json(manifest));
files.set("assembly.json", json(await assembleEngineImage()));
await writeFolder(PREBUILT, files);
console.log(`${Object.keys(manifest).length} objects in asm/prebuilt`);
