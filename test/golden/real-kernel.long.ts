/** A scenario is made on a real kernel, here and now: kit, vm and compare as a user calls them. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findKernel } from "../../src/node/vm/index.js";
import { cliOf } from "../support/cli.js";
import { skipBecause } from "../support/skip.js";

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "klpemu-real-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What is missing for a machine; undefined: nothing. */
async function missing(): Promise<string | undefined> {
	const qemu = (process.env.PATH ?? "").split(delimiter).some((path) => existsSync(join(path, "qemu-system-x86_64")));
	const install =
		"apt-get install -y qemu-system-x86 linux-image-6.12-cloud-amd64 linux-headers-6.12-cloud-amd64 busybox-static";
	if (!qemu) return `there is no qemu-system-x86_64: ${install}`;
	return await findKernel(undefined, undefined).then(
		() => undefined,
		(error) => `${String(error)}: ${install}`,
	);
}

test("a scenario on the emulated and on a real kernel", async ({ skip }) => {
	const reason = await missing();
	if (reason !== undefined) skipBecause(skip, reason);
	const kit = join(folder, "reverse");
	expect(await cliOf(["kit", "scenarios/reverse.yaml", "--out", kit])).toMatchObject({ status: 0 });
	const vm = await cliOf(["vm", kit, "--timeout", "400"]);
	expect(vm, vm.stderr).toMatchObject({ status: 0 });
	expect(vm.stdout).toContain("reverse: has run");
	const transcript = join(kit, "transcript.txt");
	expect(readFileSync(transcript, "utf8")).toContain("reversing transition from patching to unpatching");
	expect(await cliOf(["compare", "scenarios/reverse.yaml", transcript])).toMatchObject({
		status: 0,
		stdout: expect.stringMatching(/^agrees: /),
	});
	expect((await readdir(kit)).includes("klpkit.ko")).toBe(true);
}, 900_000);
