/** A scenario is made on a real kernel, here and now: kit, vm and compare as a user calls them. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

/** One that agrees, and the findings that administrators and sleepers can force; force-rmmod leaves modules behind, and ends the boot. */
const KITS = {
	reverse: "scenarios/reverse.yaml",
	"two-names-sleeper": "scenarios/family/two-names-sleeper.yaml",
	// A sleeper in another function holds the disabling up, so that its reversal is in time.
	"alias-reverse": "scenarios/family/alias-reverse.yaml",
	"force-rmmod": "scenarios/force-rmmod.yaml",
};

test("kit, vm and compare: a scenario agrees, and findings 1, 3 and 6 come", async ({ skip }) => {
	const reason = await missing();
	if (reason !== undefined) skipBecause(skip, reason);
	for (const [name, file] of Object.entries(KITS)) {
		expect(await cliOf(["kit", file, "--out", join(folder, name)])).toMatchObject({ status: 0 });
		if (name === "reverse") continue;
		// Transitions that never end: they are not waited for as long as for one that does.
		const script = join(folder, name, "run.sh");
		writeFileSync(script, readFileSync(script, "utf8").replace("\n. ./kit.sh\n", "\nDEADLINE=10\n. ./kit.sh\n"));
	}
	const folders = Object.keys(KITS).map((name) => join(folder, name));
	const vm = await cliOf(["vm", ...folders, "--append", "oops=panic", "--timeout", "1500"]);
	// Not the status: finding 6 ends in a page fault of the kernel, which ends the machine here (oops=panic), instead of waiting.
	expect(vm.stdout, vm.stderr).toMatch(/reverse: has run[\s\S]*two-names-sleeper: has run/);
	const transcript = (name: string) => readFileSync(join(folder, name, "transcript.txt"), "utf8");
	expect(transcript("reverse")).toContain("reversing transition from patching to unpatching");
	const compared = await cliOf(["compare", KITS.reverse, join(folder, "reverse", "transcript.txt")]);
	expect(compared).toMatchObject({ status: 0, stdout: expect.stringMatching(/^agrees: /) });
	// Finding 3: it sleeps in the original, and sees the new function.
	expect(transcript("two-names-sleeper")).toMatch(/task sleeper .*in=funcE.* funcE=lp2_funcA/);
	// Finding 1: the way there. What is read behind the list, and so whether it stalls, is luck of the slab.
	const reversed = transcript("alias-reverse").split("reversing transition from unpatching to patching")[1];
	expect(reversed).toMatch(/is sleeping on function funcE|patching complete/);
	// Finding 6: the module goes under the sleeper, which faults when it wakes up.
	expect(transcript("force-rmmod")).toMatch(/\$ rmmod lp1\n.*rc=0\n/);
	expect(transcript("force-rmmod")).toContain("BUG: unable to handle page fault");
});

test("findings 7 and 8: their kits by hand end in -ENOEXEC for ever, and in a page fault on the way out of do_exit()", async ({
	skip,
}) => {
	const reason = await missing();
	if (reason !== undefined) skipBecause(skip, reason);
	// 8 ends the machine.
	const kits = ["7-kit", "8-kit"].map((name) => {
		cpSync(`docs/findings/${name}`, join(folder, name), { recursive: true });
		return join(folder, name);
	});
	const vm = await cliOf(["vm", ...kits, "--timeout", "1500"]);
	const [seventh, eighth] = kits.map((kit) => readFileSync(join(kit, "transcript.txt"), "utf8")) as [string, string];
	const tries = seventh.split(/=== \d: /);
	expect(tries, vm.stderr).toHaveLength(5);
	// 1: its relocations are written each time that it comes. 2: refused once. 3: refused for ever. 4: without the livepatch.
	expect(tries[1]!.match(/kt: kt_secret\(2\)=42 funcN\(2\)=1042/g)).toHaveLength(2);
	expect(tries[2]).toMatch(/lpr: pre_patch\(kt\) returns -19[\s\S]*insmod: .\/kt.ko: No such device/);
	expect(tries[3]!.match(/insmod: .\/kt.ko: Exec format error/g)).toHaveLength(2);
	expect(tries[3]).toContain("Invalid relocation target, existing value is nonzero");
	expect(tries[4]).toContain("kt: kt_secret(2)=42 funcN(2)=2");
	expect(eighth).toMatch(/\$ rmmod lpx\n.*rc=0\n/);
	const fault = eighth.split("BUG: unable to handle page fault")[1];
	expect(fault).toMatch(/Comm: klp_task/);
	expect(fault).toMatch(/do_exit\+/);
});
