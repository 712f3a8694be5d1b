/** npm run build:objects: compiles the repo's own sources, with and without endbr64, and assembles the engine's, into asm/prebuilt. */
import { readdir } from "node:fs/promises";
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

const files = new Map<string, string | Uint8Array>();
const manifest: Record<string, Manifest[string]> = {};
for (const source of await sources()) {
	for (const ibt of [false, true]) {
		const path = join(PROJECT, source);
		const { bytes, warnings } = await compile(path, { ibt });
		if (warnings !== "") throw new Error(`${source}: ${warnings}`);
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
