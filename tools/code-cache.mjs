/**
 * Makes V8's code caches of the bundled command (see cached-app.mjs), dist/cli/*.cache: the functions that the README's scenario needs,
 * and once there is a core of npm run build:kernel, those of a run with it.
 */
import { existsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { loadApp } from "./cached-app.mjs";

const project = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const APP = project("dist/cli/app.cjs");
const CORE = project(".cache/linux-6.12.klpcore");
const RUN = ["run", project("scenarios/hybrid-lp1-lp2-lp3.yaml")];

/** Throws if the command fails. A core that this klpemu does not read is nobody's fault. */
export async function makeCodeCache() {
	const { app, scripts } = loadApp(APP, createRequire(APP));
	let errors = "";
	const io = { stdin: process.stdin, stdout: { write() {} }, stderr: { write: (text) => (errors += text) }, env: {} };
	if ((await app.runCli(RUN, io)) !== 0)
		throw new Error(`the bundled command does not run: klpemu ${RUN.join(" ")}\n${errors}`);
	if (existsSync(CORE)) await app.runCli([...RUN, "--core", CORE], io);
	for (const [path, script] of scripts) writeFileSync(`${path}.cache`, script.createCachedData());
}

// For npm run build:kernel. Without a build there is nothing to make faster.
if (argv[1] === fileURLToPath(import.meta.url) && existsSync(APP)) await makeCodeCache();
