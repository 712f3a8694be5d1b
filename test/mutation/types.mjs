import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import ts from "typescript";

function indexOf(text, { line, column }) {
	let at = 0;
	for (let before = 0; before < line; before++) at = text.indexOf("\n", at) + 1;
	return at + column;
}

/** A file with one mutant in it. */
function mutated({ fileName, location: { start, end }, replacement }) {
	const text = readFileSync(fileName, "utf8");
	return text.slice(0, indexOf(text, start)) + replacement + text.slice(indexOf(text, end));
}

/** As Stryker's own checker does: a name that nothing uses any more, or code that is never reached, is not an error of types. */
const LENIENT = { noUnusedLocals: false, noUnusedParameters: false, allowUnreachableCode: true };

/** The compiler of the project: what it says of the file that a mutant is in, or undefined. */
export function typeChecker() {
	const config = ts.getParsedCommandLineOfConfigFile(
		"tsconfig.json",
		{},
		{ ...ts.sys, onUnRecoverableConfigFileDiagnostic() {} },
	);
	const files = config.fileNames.filter((name) => name.includes("/src/"));
	let [changed, text, version] = ["", "", 0];
	const service = ts.createLanguageService({
		getCompilationSettings: () => ({ ...config.options, ...LENIENT }),
		getScriptFileNames: () => files,
		getScriptVersion: (name) => (name === changed ? `${version}` : "0"),
		getScriptSnapshot: (name) =>
			ts.sys.fileExists(name)
				? ts.ScriptSnapshot.fromString(name === changed ? text : ts.sys.readFile(name))
				: undefined,
		getCurrentDirectory: () => process.cwd(),
		getDefaultLibFileName: ts.getDefaultLibFilePath,
		fileExists: ts.sys.fileExists,
		readFile: ts.sys.readFile,
		readDirectory: ts.sys.readDirectory,
		directoryExists: ts.sys.directoryExists,
		getDirectories: ts.sys.getDirectories,
	});
	return (mutant) => {
		[changed, text, version] = [resolve(mutant.fileName), mutated(mutant), version + 1];
		const said = [...service.getSyntacticDiagnostics(changed), ...service.getSemanticDiagnostics(changed)];
		return said.length === 0 ? undefined : ts.flattenDiagnosticMessageText(said[0].messageText, " ");
	};
}
