import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PROJECT } from "../../src/node/project.js";
import { runTool } from "../../src/node/run-tool.js";

const limits = { cpuSeconds: 60, memoryKiB: 1 << 20, fileMiB: 1, wallSeconds: 240, outputBytes: 1000 };
const run = (script: string, other = {}) =>
	runTool(["/bin/sh", "-c", script], { cwd: "/", env: process.env, limits: { ...limits, ...other } });

test("output, status, and the limits of time and output", async () => {
	expect(await run("echo out; echo err >&2; exit 3")).toEqual({
		...{ status: 3, stdout: "out\n", stderr: "err\n", exceeded: undefined },
	});
	expect((await run("sleep 60", { wallSeconds: 0.2 })).exceeded).toBe("time");
	const flood = await run("yes");
	expect([flood.exceeded, flood.stdout.length]).toEqual(["output", 1000]);
	expect((await run("while :; do :; done", { cpuSeconds: 1 })).status).toBeGreaterThan(128);
	expect((await runTool(["no-such-tool"], { cwd: "/", env: process.env, limits })).status).toBe(127);
});

/** The process exists. */
function alive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch {
		return false;
	}
}

test("a tool, with its children, ends when the process that runs it is told to end", async () => {
	const folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
	const file = join(folder, "pid");
	const command = ["/bin/sh", "-c", `echo $$ > ${file}; sleep 300 & wait`];
	const script = `import { runTool } from "./src/node/run-tool.ts";
void runTool(${JSON.stringify(command)}, { cwd: "/", env: process.env, limits: ${JSON.stringify(limits)} });`;
	const args = ["--import", "tsx", "--input-type=module", "-e", script];
	const child = spawn(process.execPath, args, { cwd: PROJECT, stdio: "inherit" });
	const written = () => readFile(file, "utf8").catch(() => "");
	await expect.poll(written).toMatch(/^\d+\n$/);
	const pid = Number(await written());
	expect(alive(pid)).toBe(true);
	child.kill("SIGTERM");
	const [code, signal] = await once(child, "exit");
	expect([code, signal]).toEqual([null, "SIGTERM"]);
	await expect.poll(() => alive(pid)).toBe(false);
	await rm(folder, { recursive: true });
});
