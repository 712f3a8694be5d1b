import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { staticServer } from "../../src/node/static-server.js";

const folder = mkdtempSync(join(tmpdir(), "klpemu-serve-"));
const site = join(folder, "site");
const server = (() => {
	mkdirSync(join(site, "data"), { recursive: true });
	writeFileSync(join(site, "index.html"), "<p>page");
	writeFileSync(join(site, "data", "x.wasm"), "wasm");
	writeFileSync(join(folder, "secret"), "secret");
	symlinkSync(join(folder, "secret"), join(site, "link"));
	return staticServer(site);
})();
beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
afterAll(() => {
	server.close();
	rmSync(folder, { recursive: true, force: true });
});

interface Got {
	readonly status: number | undefined;
	readonly headers: Readonly<Record<string, unknown>>;
	readonly body: string;
}

/** node:http sends the path as it is; fetch() would take `..` out of it. */
function get(path: string, options: { method?: string; host?: string } = {}): Promise<Got> {
	const { port } = server.address() as AddressInfo;
	return new Promise((resolve, reject) => {
		const headers = { host: options.host ?? `127.0.0.1:${port}` };
		const sent = request({ host: "127.0.0.1", port, path, method: options.method ?? "GET", headers }, (response) => {
			let body = "";
			response.on("data", (part: Buffer) => {
				body += part.toString();
			});
			response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
		});
		sent.on("error", reject);
		sent.end();
	});
}

test("it gives the files of the folder, with their types and a policy", async () => {
	const { status, headers, body } = await get("/?x#y");
	expect({ status, body }).toEqual({ status: 200, body: "<p>page" });
	expect(headers["content-type"]).toBe("text/html; charset=utf-8");
	expect(headers["content-security-policy"]).toMatch(/^default-src 'none'; script-src 'self' 'wasm-unsafe-eval'/);
	expect(headers["content-security-policy"]).toContain("frame-ancestors 'none'");
	expect(headers["x-content-type-options"]).toBe("nosniff");
	expect((await get("/data/x.wasm")).headers["content-type"]).toBe("application/wasm");
	expect(await get("/index.html", { method: "HEAD" })).toMatchObject({ status: 200, body: "" });
});

test.each([
	...["/../secret", "/..%2fsecret", "/%2e%2e/secret", "/data/../../secret", "//../secret", "/link", "/data", "/data/"],
	...["/secret", "/index.html%00", "/%", "/..\\secret", "/index.html/"],
])("%s leads to nothing", async (path) => {
	expect(await get(path)).toMatchObject({ status: 404, body: "there is no such file\n" });
});

test("no other method, and no other name of this machine", async () => {
	for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) expect((await get("/", { method })).status).toBe(405);
	expect((await get("/", { host: "evil.example" })).status).toBe(421);
	expect((await get("/", { host: "localhost:1" })).status).toBe(200);
});
