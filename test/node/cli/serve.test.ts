import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PROJECT } from "../../../src/node/index.js";
import { cliOf } from "../../support/cli.js";

const folder = mkdtempSync(join(tmpdir(), "klpemu-"));
writeFileSync(join(folder, "index.html"), "<p>page");

test("a folder without a page, and a port that is none, are refused", async () => {
	const missing = await cliOf(["serve", "--folder", join(folder, "none")]);
	expect(missing).toMatchObject({ status: 2, stderr: expect.stringContaining("npm run build:web") });
	const port = await cliOf(["serve", "--folder", folder, "--port", "65536"]);
	expect(port).toMatchObject({ status: 2, stderr: expect.stringContaining("--port must be 0 to 65535") });
});

test("it prints its address, serves until a signal, and says when a port is taken", async () => {
	const main = join(PROJECT, "src/node/cli/main.ts");
	const child = spawn(process.execPath, ["--import", "tsx", main, "serve", "--folder", folder, "--port", "0"]);
	const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
	const address = await new Promise<string>((resolve) =>
		child.stdout.on("data", (text) => resolve(String(text).trim())),
	);
	expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
	expect(await (await fetch(address)).text()).toBe("<p>page");
	// Not in the package: it is in the one that klpemu depends on.
	const wasm = await fetch(`${address}assets/capstone-Ab_c-1.wasm`);
	expect(wasm.headers.get("content-type")).toBe("application/wasm");
	expect((await wasm.arrayBuffer()).byteLength).toBeGreaterThan(1e6);
	expect((await fetch(`${address}assets/capstone-/../x.wasm`)).status).toBe(404);
	const { port } = new URL(address);
	const second = await cliOf(["serve", "--folder", folder, "--port", port]);
	expect(second).toMatchObject({ status: 2, stderr: expect.stringContaining("another program has it") });
	child.kill("SIGTERM");
	expect(await ended).toBe(0);
});
