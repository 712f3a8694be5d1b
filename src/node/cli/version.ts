import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT } from "../project.js";

/** The version of this package. */
export async function version(): Promise<string> {
	const text = await readFile(join(PROJECT, "package.json"), "utf8");
	return (JSON.parse(text) as { version: string }).version;
}
