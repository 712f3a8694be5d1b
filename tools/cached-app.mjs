import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Script } from "node:vm";

function readIfThere(path) {
	try {
		return readFileSync(path);
	} catch {
		return undefined;
	}
}

/**
 * Loads a bundled CommonJS module (a function of exports, require and module, in ASCII), and the files beside it that it requires as "./NAME", each with
 * the code cache of V8 beside it: to compile the command takes longer than to run a scenario. A cache that another version of V8 has made
 * is refused by V8; then the code is compiled. `require` is one of a module that finds the same packages: node:module, which makes
 * others, would take 2 ms more.
 */
export function loadApp(path, require) {
	const scripts = new Map();
	const modules = new Map();
	const load = (file) => {
		const known = modules.get(file);
		if (known !== undefined) return known.exports;
		const script = new Script(readFileSync(file, "latin1"), {
			filename: file,
			cachedData: readIfThere(`${file}.cache`),
		});
		const module = { exports: {}, filename: file };
		scripts.set(file, script);
		modules.set(file, module);
		const requireHere = (name) => (name.startsWith("./") ? load(join(dirname(file), name)) : require(name));
		script.runInThisContext()(module.exports, requireHere, module);
		return module.exports;
	};
	return { app: load(path), scripts };
}
