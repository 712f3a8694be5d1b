import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cliOf } from "../../support/cli.js";
import { KERNEL_CORE, NO_KERNEL_CORE, skipBecause } from "../../support/skip.js";

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
});
afterEach(() => rm(folder, { recursive: true }));

const cli = (...argv: string[]) => cliOf(argv);

describe("klpemu kernel", () => {
	test("needs a second word", async () => {
		expect(await cli("kernel")).toEqual({
			...{
				status: 2,
				stdout: "",
				stderr: "klpemu kernel: 'kernel' needs a second word\n  hint: second words: build, show\n",
			},
		});
		expect((await cli("kernel", "shwo")).stderr).toContain("'kernel' has no 'shwo'\n  hint: did you mean 'show'?");
		const { stdout } = await cli("help", "kernel");
		expect(stdout).toContain("Usage: klpemu kernel build [OPTIONS]");
		expect(stdout).toContain("Usage: klpemu kernel show FILE [OPTIONS]");
	});
});

describe("klpemu kernel build", () => {
	test("says before it compiles that a file cannot be written", async () => {
		const none = join(folder, "none");
		const build = async (out: string) => (await cli("kernel", "build", "--headers", none, "--out", out)).stderr;
		expect(await build(folder)).toContain(`cannot write '${folder}': it is a folder`);
		const file = join(folder, "file");
		await writeFile(file, "");
		expect(await build(join(file, "core"))).toContain(`${file} is not a folder`);
		// Root may write everywhere.
		if (process.getuid?.() !== 0) {
			await chmod(folder, 0o500);
			expect(await build(join(folder, "core"))).toContain("EACCES");
			await chmod(folder, 0o700);
		}
		expect(await build(join(folder, "new", "core"))).toContain(`there is no folder '${join(folder, "new")}'`);
		expect(existsSync(join(folder, "new"))).toBe(false);
	});

	test("--patch may be repeated, and each must be a patch", async () => {
		const [good, bad] = [join(folder, "good.patch"), join(folder, "bad.patch")];
		await writeFile(good, "--- a/kernel/livepatch/core.c\n+++ b/kernel/livepatch/core.c\n@@ -1 +1 @@\n-a\n+b\n");
		await writeFile(bad, "text");
		const { status, stderr } = await cli("kernel", "build", "--patch", good, "--patch", bad, "--headers", folder);
		expect([status, stderr]).toEqual([2, expect.stringMatching(/bad\.patch: no unified diff/)]);
		expect((await cli("kernel", "build", "--patch", good, "--headers", folder)).stderr).toContain("not the headers");
		const fuzz = await cli("kernel", "build", "--patch", good, "--fuzz", "two", "--headers", folder);
		expect([fuzz.status, fuzz.stderr]).toEqual([2, expect.stringContaining("--fuzz")]);
	});
});

describe("klpemu kernel show", () => {
	test("prints what the file was made of and needs, in 80 columns; --json has all of it", async (context) => {
		if (!existsSync(KERNEL_CORE)) skipBecause(context.skip, NO_KERNEL_CORE);
		const { status, stdout } = await cli("kernel", "show", KERNEL_CORE);
		expect(status).toBe(0);
		expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
		const document = JSON.parse((await cli("kernel", "show", KERNEL_CORE, "--json")).stdout);
		expect(document).toMatchObject({ schema: 1, format: 1, patches: [], config: { CONFIG_LIVEPATCH: "y" } });
		expect(stdout).toContain(document.release);
		expect(stdout).toContain(`layout, ${Object.keys(document.layout).length} entries`);
		for (const name of [...document.needs, ...document.provides])
			expect(stdout).toMatch(new RegExp(`^  (.* )?${name}( |$)`, "m"));
		for (const { name, size } of document.sections)
			expect(stdout).toMatch(new RegExp(`^  ${name.replaceAll(".", "\\.")} +${size}$`, "m"));
		expect(document.needs).toContain("mutex_lock");
		expect(document.provides).toContain("klp_enable_patch");
		expect(document.provides).not.toContain("__pfx_klp_enable_patch");
		expect(document.sources["kernel/livepatch/core.c"]).toMatch(/^[0-9a-f]{64}$/);
		expect(stdout).toContain(`core.c        ${document.sources["kernel/livepatch/core.c"].slice(0, 12)}`);
	});

	test("another file is refused", async () => {
		expect((await cli("kernel", "show", join(folder, "none"))).stderr).toContain("there is no file");
		expect((await cli("kernel", "show", "README.md")).stderr).toContain("not an ELF file");
	});
});
