import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { KlpemuError } from "../base/index.js";
import type { Host } from "../scenario/index.js";
import type { ObjectOptions } from "./compile.js";
import { objectFor } from "./gcc.js";
import { nodeHost, toStderr } from "./host.js";
import { withTemporaryFolder } from "./temporary.js";

/** A host whose sources are files, or C that a program gives as text. */
export interface SessionHost extends Host {
	/** The names of a module's sources. Throws `SESSION_NO_SOURCE`. */
	sources(
		name: string,
		code: { readonly c?: string | undefined; readonly sources?: readonly string[] | undefined },
	): string[];
}

/** Files are relative to the current folder. `warn` gets the warnings of gcc. */
export function sessionHost(warn: (text: string) => void = toStderr): SessionHost {
	const files = nodeHost("machine()", warn);
	/** By the name of a source. */
	const texts = new Map<string, string>();
	const compiled = new Map<string, ReturnType<Host["loadObject"]>>();
	return {
		...files,
		sources(name, { c, sources = [] }) {
			if (c === undefined && sources.length === 0) {
				throw new KlpemuError("SESSION_NO_SOURCE", `'${name}' has no code`, {
					hint: "give c: TEXT or sources: [FILE]",
				});
			}
			if (c === undefined) return [...sources];
			texts.set(`${name}.c`, c);
			compiled.delete(`${name}.c`);
			return [`${name}.c`, ...sources];
		},
		files: {
			candidates: (path) => files.files.candidates(path),
			find: async (path) => (texts.has(path) ? path : files.files.find(path)),
			read: async (path) => {
				const text = texts.get(path);
				return text === undefined ? files.files.read(path) : new TextEncoder().encode(text);
			},
		},
		loadObject(path, options) {
			const text = texts.get(path);
			const load = () =>
				text === undefined ? files.loadObject(path, options) : compileText(path, text, options, warn);
			const object = compiled.get(path) ?? load();
			compiled.set(path, object);
			return object;
		},
	};
}

/** gcc reads files; names in its messages are those of the source. */
function compileText(name: string, text: string, options: ObjectOptions, warn: (text: string) => void) {
	return withTemporaryFolder(async (folder) => {
		try {
			const file = join(folder, name);
			await writeFile(file, text);
			const { bytes, warnings } = await objectFor(file, { ...options, folder: process.cwd() });
			if (warnings !== "") warn(warnings);
			return { bytes, fileName: name };
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			const reason = error.reason.replaceAll(`${folder}/`, "");
			throw new KlpemuError(error.code, reason, { where: name, hint: error.hint, cause: error });
		}
	});
}
