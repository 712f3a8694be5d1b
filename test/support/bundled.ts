import { join } from "node:path";
import { build } from "esbuild";
import { PROJECT } from "../../src/node/index.js";

/**
 * A program of the sources as they are, as one file `.cache/NAME/main.js`: it starts in a fifth of the time that tsx takes. That place is
 * two down from the project, as src/node/project.ts wants it. `name`: of the test, because others write their own at the same time.
 */
export async function bundled(name: string, entry = "src/node/cli/main.ts"): Promise<string> {
	const outfile = join(PROJECT, ".cache", name, "main.js");
	const entryPoints = [join(PROJECT, entry)];
	await build({ bundle: true, platform: "node", format: "esm", entryPoints, outfile, packages: "external" });
	return outfile;
}
