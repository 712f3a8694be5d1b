/** npm run build:objects: compiles the repo's own sources, with and without endbr64, and assembles the engine's, into asm/prebuilt. */
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
	assembleEngineImage,
	compile,
	type Manifest,
	manifestKey,
	PROJECT,
	sha256,
	sourceKey,
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

await rm(PREBUILT, { recursive: true, force: true });
const manifest: Record<string, Manifest[string]> = {};
for (const source of await sources()) {
	for (const ibt of [false, true]) {
		const path = join(PROJECT, source);
		const { bytes, warnings } = await compile(path, { ibt });
		if (warnings !== "") throw new Error(`${source}: ${warnings}`);
		const file = source.replace(/^asm\//, "").replace(/\.c$/, ibt ? ".ibt.o" : ".o");
		await mkdir(dirname(join(PREBUILT, file)), { recursive: true });
		await writeFile(join(PREBUILT, file), bytes);
		manifest[manifestKey(source, { ibt })] = { key: await sourceKey(path, { ibt }), object: sha256(bytes), file };
	}
}
await writeFile(join(PREBUILT, "manifest.json"), `${JSON.stringify(manifest, undefined, "\t")}\n`);

const image = await assembleEngineImage();
await writeFile(join(PREBUILT, "assembly.json"), `${JSON.stringify(image, undefined, "\t")}\n`);
console.log(`${Object.keys(manifest).length} objects in asm/prebuilt`);
