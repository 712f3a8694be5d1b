/** For `node --import`: the program says so on its standard error, and stops for ever, where it reads the file KLPEMU_STOP_AT. */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const { readFileSync } = fs;
fs.readFileSync = (file, ...rest) => {
	if (file === process.env.KLPEMU_STOP_AT) {
		fs.writeSync(2, `reads ${file}\n`);
		Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
	}
	return readFileSync(file, ...rest);
};
syncBuiltinESMExports();
