import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { EngineImage, EnginePart } from "../assemble/index.js";
import { hashOfBytes } from "../base/index.js";
import { assembleEngine, ENGINE_SOURCES, type EngineSource, fitsLayout } from "../machine/index.js";
import { loadKeystone } from "./keystone.js";
import { PROJECT } from "./project.js";

/**
 * The engine's own assembly. `npm run build:objects` keeps it in asm/prebuilt/assembly.json; sources that have changed since
 * are assembled with Keystone.
 */
export async function engineImage(): Promise<EngineImage> {
	const sources = readSources();
	const text = readFileSync(join(PROJECT, "asm/prebuilt/assembly.json"), "utf8");
	const image = JSON.parse(text) as EngineImage;
	const current = (["entry", "ftrace", "ops"] as const).every((part) => image[part].source === sources[part].hash);
	return current && fitsLayout(image) ? image : assembleEngine(await loadKeystone(), sources);
}

/** The same from the sources, without asm/prebuilt. */
export async function assembleEngineImage(): Promise<EngineImage> {
	return assembleEngine(await loadKeystone(), readSources());
}

function readSources(): Readonly<Record<EnginePart, EngineSource>> {
	const read = (part: EnginePart): EngineSource => {
		const bytes = readFileSync(join(PROJECT, ENGINE_SOURCES[part].fileName));
		return { text: bytes.toString("utf8"), hash: hashOfBytes(bytes) };
	};
	return { entry: read("entry"), ftrace: read("ftrace"), ops: read("ops") };
}
