import { promises } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../project.js";

/** The version of this package. */
export async function version(): Promise<string> {
	const text = await promises.readFile(join(PROJECT, "package.json"), "utf8");
	return (JSON.parse(text) as { version: string }).version;
}
