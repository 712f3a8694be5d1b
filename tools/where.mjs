/**
 * node tools/where.mjs < REPORT: the stack of a report of a bug, with the places in the sources in place of those in dist/cli/app.cjs, whose
 * names are short. At the commit of the version that was reported: the places are those that a build makes now.
 */
import { SourceMap } from "node:module";
import { argv, stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { bundleApp } from "./app-bundle.mjs";

/** `report` with `NAME (src/base/hash.ts:12:3)` in place of each `NAME (.../app.cjs:1:2345)`. */
export async function withSources(report) {
	const { outputFiles } = await bundleApp({ write: false, sourcemap: "external", outfile: "dist/cli/app.cjs" });
	const map = new SourceMap(JSON.parse(outputFiles.find(({ path }) => path.endsWith(".map")).text));
	return report.replaceAll(/[^\s(]*\bapp\.cjs:(\d+):(\d+)/g, (place, line, column) => {
		const { originalSource, originalLine, originalColumn } = map.findEntry(line - 1, column - 1);
		if (originalSource === undefined) return place;
		return `${originalSource.replace(/^(\.\.\/)+/, "")}:${originalLine + 1}:${originalColumn + 1}`;
	});
}

if (argv[1] === fileURLToPath(import.meta.url)) stdout.write(await withSources(await text(stdin)));
