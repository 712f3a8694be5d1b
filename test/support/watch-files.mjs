/** For `node --import`: writes the name of each file that the program opens, and how, to the file KLPEMU_FILES. */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const { appendFileSync } = fs;
const log = process.env.KLPEMU_FILES;
const READ = ["readFileSync", "readFile", "openSync", "open", "createReadStream", "readdirSync", "readdir"];
const WRITE = [
	"writeFileSync",
	"writeFile",
	"renameSync",
	"rename",
	"mkdirSync",
	"mkdir",
	"rmSync",
	"rm",
	"createWriteStream",
];

function watch(object, names, kind) {
	for (const name of names) {
		const original = object[name];
		if (typeof original !== "function") continue;
		object[name] = function (...args) {
			if (typeof args[0] !== "number" && String(args[0]) !== log) appendFileSync(log, `${kind} ${args[0]}\n`);
			return original.apply(this, args);
		};
	}
}
for (const object of [fs, fs.promises]) {
	watch(object, READ, "read");
	watch(object, WRITE, "write");
}
syncBuiltinESMExports();
