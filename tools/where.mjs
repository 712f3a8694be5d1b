/**
 * node tools/where.mjs < REPORT: the stack of a report of a bug, with the places in the sources in place of those in dist/cli, whose
 * names are short. At the commit of the version that was reported: the places are those that a build makes now.
 */
import { SourceMap } from "node:module";
import { argv, stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { bundleApp } from "./app-bundle.mjs";

/** `report` with `NAME (src/base/hash.ts:12:3)` in place of each `NAME (.../start.cjs:2:2345)`. */
export async function withSources(report) {
	const files = await bundleApp({ sourcemap: true });
	const mapped = files.filter(({ map }) => map);
	const maps = new Map(mapped.map(({ fileName, map }) => [fileName, new SourceMap(map)]));
	return report.replaceAll(/[^\s(]*?([\w-]+\.cjs):(\d+):(\d+)/g, (place, file, line, column) => {
		// The first line is not of the map.
		const { originalSource, originalLine, originalColumn } = maps.get(file)?.findEntry(line - 2, column - 1) ?? {};
		if (originalSource === undefined) return place;
		return `${originalSource.replace(/^(\.\.\/)+/, "")}:${originalLine + 1}:${originalColumn + 1}`;
	});
}

if (argv[1] === fileURLToPath(import.meta.url)) stdout.write(await withSources(await text(stdin)));
