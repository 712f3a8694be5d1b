/** klpemu vm with a program that plays QEMU: what it is given, and what is made of the console. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { cliOf } from "../../support/cli.js";
import { skipBecause } from "../../support/skip.js";
import { image } from "./image.js";

const BUSYBOX = ["/bin/busybox", "/usr/bin/busybox", "/usr/lib/busybox/busybox-static"].some(existsSync);

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-qemu-"));
	await writeFile(join(folder, "bzImage"), image("6.12.1-test"));
	await mkdir(join(folder, "build"));
	await writeFile(join(folder, "build", "Makefile"), "");
	await mkdir(join(folder, "bin"));
	await symlink(execFileSync("which", ["make"], { encoding: "utf8" }).trim(), join(folder, "bin", "make"));
	await kit("a", "# cpus: 4\n# append: preempt=full\n");
});
afterEach(async () => {
	vi.unstubAllEnvs();
	await rm(folder, { recursive: true });
});

async function kit(name: string, more = "", below = "."): Promise<void> {
	await mkdir(join(folder, below, name), { recursive: true });
	await writeFile(join(folder, below, name, "run.sh"), `#!/bin/sh\n${more}`);
	await writeFile(join(folder, below, name, "Makefile"), "all:\n");
}

/** Runs `klpemu vm`. `qemu`: what the shell does in its place; `$1` and so on are its arguments. */
async function vm(qemu: string | undefined, kits: readonly string[] = ["a"], options: readonly string[] = []) {
	const path = join(folder, "bin", "qemu-system-x86_64");
	if (qemu !== undefined) {
		await writeFile(path, `#!/bin/sh\nPATH=/usr/bin:/bin\ncd ${folder}\n${qemu}\n`);
		await chmod(path, 0o755);
	}
	vi.stubEnv("PATH", join(folder, "bin"));
	const given = ["--kernel", join(folder, "bzImage"), "--headers", join(folder, "build"), ...options];
	const done = await cliOf(["vm", ...given, ...kits.map((name) => join(folder, name))]);
	return { ...done, stdout: done.stdout.replaceAll(`${folder}/`, "") };
}
const lines = (...texts: string[]) => texts.map((text) => `printf '[    0.5] ${text}\\r\\n'`).join("\n");
const text = (name: string) => readFile(join(folder, name), "utf8");

describe("a machine that is booted", () => {
	beforeEach(({ skip }) => {
		if (!BUSYBOX) skipBecause(skip, "klpemu vm, there is no busybox: apt-get install -y busybox-static");
	});

	test("a signal ends the machine: what it has printed is in the transcript", async () => {
		const before = process.listeners("SIGTERM");
		const console_ = join(folder, "console");
		const running = vm(`${lines("KLPVM-KIT a", "hello")}\nexec sleep 600`, ["a"], ["--console", console_]);
		await expect.poll(() => text("console").catch(() => "")).toContain("hello\r\n");
		// Those of the command; the test runner's must not hear of it.
		for (const stop of process.listeners("SIGTERM")) if (!before.includes(stop)) stop("SIGTERM");
		const { status, stdout, stderr } = await running;
		expect([status, stdout]).toEqual([1, "a: did not come to its end; a/transcript.txt\n"]);
		expect(stderr).toContain("interrupted; the end of the console:\n");
		expect(await text("a/transcript.txt")).toBe("[    0.5] hello\n");
	});

	test("a console file that cannot be written: the machine runs to its end, and then it is told", async () => {
		await mkdir(join(folder, "gone"));
		const qemu = `rm -r gone\n${lines("KLPVM-KIT a", "hello", "KLPVM-STATUS a 0", "KLPVM-END")}`;
		const done = await vm(qemu, ["a"], ["--console", join(folder, "gone", "console")]);
		expect([done.status, done.stdout]).toEqual([2, "a: has run; a/transcript.txt\n"]);
		expect(done.stderr).toMatch(/^cannot write '.*console': there is no folder '.*gone'$/m);
	});

	test("runs a kit: its transcript, the console as it comes, and what QEMU is given", async () => {
		const qemu = `printf '%s\\n' "$@" >args
while [ "$1" != -initrd ]; do shift; done
cp "$2" initrd
${lines("Linux", "KLPVM-KIT a", "hello", "KLPVM-STATUS a 0", "KLPVM-END")}`;
		const console_ = join(folder, "console");
		const done = await vm(qemu, ["a"], ["--accel", "tcg", "--append", "quiet", "--console", console_]);
		expect([done.status, done.stdout]).toEqual([0, "a: has run; a/transcript.txt\n"]);
		expect(done.stderr).toMatch(
			/^make in .*\nbooting Linux 6\.12\.1-test \(tcg\)\n\d+ s: a begins\n\d+ s: a has ended\n$/,
		);
		expect(await text("a/transcript.txt")).toBe("[    0.5] hello\n");
		expect(await text("console")).toContain("] Linux\r\n");
		const args = (await text("args")).split("\n");
		const after = (name: string) => args[args.indexOf(name) + 1];
		expect(["-accel", "-cpu", "-smp", "-kernel"].map(after)).toEqual([
			"tcg,thread=single",
			"max",
			"4",
			join(folder, "bzImage"),
		]);
		expect(after("-append")).toMatch(/^console=ttyS0 .* preempt=full quiet$/);
		const archive = gunzipSync(await readFile(join(folder, "initrd"))).toString("latin1");
		for (const part of ["bin/busybox\0", "a:0:run.sh\n", "kits/0/run.sh\0", "TRAILER!!!"])
			expect(archive).toContain(part);
	});

	test("is booted again for the kits behind one that cannot be unloaded", async () => {
		await kit("b");
		await kit("c");
		const qemu = `if [ -e once ]; then
${lines("KLPVM-KIT c", "KLPVM-STATUS c 3", "KLPVM-END")}
else touch once
${lines("KLPVM-KIT a", "KLPVM-STATUS a 0", "KLPVM-KIT b", "### LEFT lp1 (1)", "KLPVM-STATUS b 1", "KLPVM-END")}
fi`;
		const { status, stdout } = await vm(qemu, ["a", "b", "c"]);
		const said = ["a: has run", "b: has run; cannot be unloaded: lp1", "c: ended with status 3"];
		expect([status, stdout.replace(/; .\/transcript.txt$/gm, "")]).toEqual([0, `${said.join("\n")}\n`]);
	});

	test.each([
		[
			"crashes",
			lines("KLPVM-KIT a", "BUG: oops"),
			/^the machine ended before its last kit: .*; the end of the console:$/m,
		],
		["is a QEMU that fails", `echo "no such device" >&2; exit 3`, /^QEMU ends with 3: no such device; the end of/m],
		["takes too long", "exec sleep 600", /^time limit: 1 s; the end of the console:$/m],
	])("%s: exit status 1, and the end of the console", async (_, qemu, why) => {
		const limit = qemu.includes("sleep") ? "1" : "3600";
		const { status, stdout, stderr } = await vm(qemu, ["a"], ["--accel", "kvm", "--timeout", limit]);
		expect([status, stderr]).toEqual([1, expect.stringMatching(why)]);
		const began = qemu.includes("oops");
		expect(stdout).toBe(began ? "a: did not come to its end; a/transcript.txt\n" : "");
		if (began) expect(stderr).toMatch(/BUG: oops\n$/);
	});

	test("is not there: the package is named", async () => {
		const { status, stderr } = await vm(undefined);
		expect([status, stderr]).toEqual([2, expect.stringContaining("qemu-system-x86_64 cannot be started")]);
		expect(stderr).toContain("apt-get install -y qemu-system-x86");
	});
});

test("two kits of one name are refused", async () => {
	await kit("a", "", "other");
	const { status, stderr } = await vm("", ["a", "other/a"]);
	expect([status, stderr]).toEqual([2, expect.stringContaining("two kits are called 'a'")]);
});
