/** A signal that comes while a listener of ours goes, in any part of a turn of node's loop, ends the process all the same. */
import { execFile } from "node:child_process";
import { expect, test } from "vitest";
import { PROJECT } from "../../src/node/index.js";

/** `place`: where in a turn of the loop the signal comes, and the listener goes. */
const program = (place: string) => `
	import { readFile } from "node:fs";
	import { whenProcessEnds } from "./src/node/process-end.ts";
	const letGo = whenProcessEnds(() => console.log("the action"));
	const afterwards = () => {
		process.kill(process.pid, "SIGTERM");
		letGo().then(() => console.log("has gone on"));
	};
	${place};
`;

const PLACES = {
	"at the start": "afterwards()",
	"behind a file": 'readFile("package.json", afterwards)',
	"in an immediate": "setImmediate(afterwards)",
	"in a microtask": "Promise.resolve().then(afterwards)",
};

test.concurrent.each(Object.entries(PLACES))("%s", async (_name, place) => {
	const args = ["--import", "tsx", "--input-type=module", "--eval", program(place)];
	const ended = await new Promise((resolve) => {
		const child = execFile(process.execPath, args, { cwd: PROJECT }, (_error, stdout, stderr) =>
			resolve({ signal: child.signalCode, stdout, stderr }),
		);
	});
	expect(ended).toEqual({ signal: "SIGTERM", stdout: "", stderr: "" });
});
