import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { buildKernelCore } from "../../../src/node/kernel/build.js";
import { installedHeaders, type Places, readHeaders, sourceFor } from "../../../src/node/kernel/headers.js";
import { unpack } from "../../../src/node/kernel/unpack.js";

let folder: string;
let places: Places;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
	places = { usrSrc: join(folder, "src"), modules: join(folder, "modules"), running: "7.2.1" };
});
afterEach(() => rm(folder, { recursive: true }));

async function write(path: string, text: string): Promise<string> {
	await mkdir(dirname(join(folder, path)), { recursive: true });
	await writeFile(join(folder, path), text);
	return join(folder, path);
}

/** Headers of a packaged kernel, as far as klpemu reads them. */
async function headers(path: string, release: string, config = "CONFIG_X86_64=y\nCONFIG_LIVEPATCH=y\nCONFIG_HZ=250\n") {
	const [major, patchlevel, sublevel] = release.split(/[.+-]/);
	const numbers = { MAJOR: major, PATCHLEVEL: patchlevel, SUBLEVEL: sublevel };
	const version = Object.entries(numbers).map(([name, value]) => `#define LINUX_VERSION_${name} ${value}\n`);
	await write(`${path}/include/generated/utsrelease.h`, `#define UTS_RELEASE "${release}"\n`);
	await write(`${path}/include/generated/uapi/linux/version.h`, version.join(""));
	await write(`${path}/include/config/auto.conf`, config);
	return join(folder, path);
}

/** A source of Linux, as far as klpemu looks at it before it compiles. */
async function source(path: string, version: string): Promise<string> {
	const [major, patchlevel, sublevel] = version.split(".");
	await write(`${path}/Makefile`, `VERSION = ${major}\nPATCHLEVEL = ${patchlevel}\nSUBLEVEL = ${sublevel}\n`);
	for (const file of ["kernel/livepatch/core.c", "arch/x86/kernel/ftrace_64.S", "lib/list_debug.c"]) {
		await write(`${path}/${file}`, "");
	}
	return join(folder, path);
}

describe("headers", () => {
	test("release, version and configuration", async () => {
		const found = await readHeaders(
			await headers("src/linux-headers-6.12.117+deb12-cloud-amd64", "6.12.117+deb12-cloud-amd64"),
		);
		expect([found.release, found.version]).toEqual(["6.12.117+deb12-cloud-amd64", "6.12.117"]);
		expect(found.config.get("CONFIG_HZ")).toBe("250");
	});

	test("the newest packaged ones whose source is installed come before the running kernel's", async () => {
		await headers("src/linux-headers-6.12.9-amd64", "6.12.9-amd64");
		await headers("src/linux-headers-6.12.117-amd64", "6.12.117-amd64");
		await headers("src/linux-headers-6.13.1-amd64", "6.13.1-amd64");
		await headers("modules/7.2.1/build", "7.2.1");
		expect((await installedHeaders(places)).release).toBe("7.2.1");
		await write("src/linux-source-6.12.tar.xz", "");
		// Debian's -common has no configuration: it is no candidate that can be used.
		await mkdir(join(folder, "src/linux-headers-6.12.200-common"));
		expect((await installedHeaders(places)).release).toBe("6.12.117-amd64");
	});

	test("none is installed: what was looked at, and what to install", async () => {
		await expect(installedHeaders(places)).rejects.toMatchObject({
			code: "HEADERS_MISSING",
			reason: expect.stringContaining(join(folder, "modules/7.2.1/build")),
			hint: expect.stringContaining("linux-headers-6.12-cloud-amd64"),
		});
	});

	test.each([
		["no headers at all", "CONFIG_X86_64=y", "HEADERS_UNFIT", "not the headers of a kernel", true],
		["another processor", "CONFIG_ARM64=y\nCONFIG_LIVEPATCH=y", "HEADERS_UNFIT", "not for x86-64", false],
		["no livepatch", "CONFIG_X86_64=y", "HEADERS_UNFIT", "without CONFIG_LIVEPATCH", false],
	])("unfit: %s", async (_title, config, code, reason, remove) => {
		const path = await headers("h", "6.12.1", config);
		if (remove) await rm(join(path, "include/generated"), { recursive: true });
		await expect(readHeaders(path)).rejects.toMatchObject({
			code,
			reason: expect.stringContaining(reason),
			where: path,
		});
	});

	test("a path that the kernel's build does not take", async () => {
		await expect(readHeaders(await headers("a b", "6.12.1"))).rejects.toMatchObject({ code: "HEADERS_UNFIT" });
		await expect(readHeaders(join(folder, "none"))).rejects.toMatchObject({ code: "HEADERS_MISSING" });
	});
});

describe("source", () => {
	test("a full tree is its own source; then RELEASE/source; then Debian's, packed", async () => {
		const path = await headers("h", "6.12.117+deb12-cloud-amd64");
		const find = async () => sourceFor(await readHeaders(path), places);
		await expect(find()).rejects.toMatchObject({
			code: "SOURCE_MISSING",
			hint: expect.stringContaining("linux-source-6.12"),
		});
		const tarball = await write("src/linux-source-6.12.tar.xz", "");
		expect(await find()).toEqual({ path: tarball, packed: true });
		const beside = await source("modules/6.12.117+deb12-cloud-amd64/source", "6.12.117");
		expect(await find()).toEqual({ path: beside, packed: false });
		await source("h", "6.12.117");
		expect(await find()).toEqual({ path, packed: false });
	});

	test("source and headers of different releases", async () => {
		const path = await headers("h", "6.12.117+deb12-cloud-amd64");
		const other = await source("other", "6.12.116");
		await expect(buildKernelCore({ headers: path, source: other, places })).rejects.toMatchObject({
			code: "SOURCE_RELEASE",
			reason: "the source is Linux 6.12.116, the headers are of 6.12.117+deb12-cloud-amd64",
			where: other,
		});
	});

	test("a temporary folder that the kernel's build does not take", async () => {
		const [path, tree] = [await headers("h", "6.12.117"), await source("tree", "6.12.117")];
		await mkdir(join(folder, "a b"));
		vi.stubEnv("TMPDIR", join(folder, "a b"));
		const built = buildKernelCore({ headers: path, source: tree, places });
		await expect(built).rejects.toMatchObject({ code: "KBUILD_FAILED", hint: "set TMPDIR to another folder" });
		vi.unstubAllEnvs();
		expect(await readdir(join(folder, "a b"))).toEqual([]);
	});

	test("no source of Linux, no such file, no archive", async () => {
		const path = await headers("h", "6.12.117");
		const build = (source: string) => buildKernelCore({ headers: path, source, places });
		await expect(build(join(folder, "none"))).rejects.toMatchObject({ code: "SOURCE_MISSING" });
		await expect(build(path)).rejects.toMatchObject({
			code: "SOURCE_UNFIT",
			reason: expect.stringContaining("Makefile"),
		});
		await expect(build(await write("a.tar.xz", "text"))).rejects.toMatchObject({ code: "SOURCE_UNFIT" });
		const tree = await source("tree", "6.12.117");
		await rm(join(tree, "lib/list_debug.c"));
		await expect(build(tree)).rejects.toMatchObject({
			code: "SOURCE_UNFIT",
			reason: "the source has no lib/list_debug.c",
		});
	});

	test("a tarball is read by any name: none is an option, a host or a command", async () => {
		const tree = await source("linux-6.12.117", "6.12.117");
		await write("linux-6.12.117/kernel/livepatch/core.c", "/* core */");
		const path = await headers("h", "6.12.117");
		const found = await readHeaders(path);
		for (const name of [
			"plain.tar",
			"--checkpoint-action=exec=touch owned.tar",
			"host:file.tar",
			"$(touch owned); a b.tar",
		]) {
			const tarball = join(folder, name);
			execFileSync("tar", ["-cf", "plain.tar", "linux-6.12.117"], { cwd: folder });
			if (name !== "plain.tar") await rename(join(folder, "plain.tar"), tarball);
			const to = await mkdtemp(join(folder, "to-"));
			await unpack({ path: tarball, packed: true }, found, ["include/none.h"], to);
			expect([name, await readFile(join(to, "kernel/livepatch/core.c"), "utf8")]).toEqual([name, "/* core */"]);
		}
		expect((await readdir(folder)).includes("owned")).toBe(false);
		await expect(unpack({ path: tree, packed: true }, found, [], tree)).rejects.toMatchObject({ code: "SOURCE_UNFIT" });
	});
});
