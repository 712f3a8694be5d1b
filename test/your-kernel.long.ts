/** docs/your-kernel.md: its commands are run, one after the other, in an empty folder. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cliOf } from "./support/cli.js";
import { skipBecause } from "./support/skip.js";

const SOURCE = "/usr/src/linux-source-6.12.tar.xz";

test("docs/your-kernel.md does what it says", async ({ skip }) => {
	if (!existsSync(SOURCE)) skipBecause(skip, `there is no ${SOURCE}: apt-get install linux-source-6.12`);
	const page = readFileSync("docs/your-kernel.md", "utf8");
	const commands = [...page.matchAll(/^ {4}(?!apt-get)(\S.*)$/gm)].map(([, command]) => command!);
	const [, scenario] = /```yaml\n(.*?)```/s.exec(page)!;
	const home = process.cwd();
	const folder = mkdtempSync(join(tmpdir(), "klpemu-test-"));
	process.chdir(folder);
	try {
		writeFileSync("one.yaml", scenario!);
		const results: { readonly status: number; readonly stdout: string }[] = [];
		for (const command of commands) {
			const [, ours] = /^npx klpemu (.*)$/.exec(command) ?? [];
			if (ours === undefined) execFileSync("bash", ["-ec", command]);
			else {
				const files = readdirSync(".").includes("found") ? readdirSync("found").map((file) => `found/${file}`) : [];
				const args = ours.split(" ").flatMap((arg) => (arg === "found/*.schedule" ? files : [arg]));
				results.push(await cliOf(args));
			}
		}
		expect(results.map(({ status }) => status)).toEqual([0, 1, 0]);
		expect(results[1]!.stdout).toMatch(/violated.*sudden-change/);
		// The line of the mistake is in the story.
		expect(results[2]!.stdout).toMatch(
			/klp_init_transition\(\) transition\.c:\d+; klp_init_transition\(\) transition\.c:\d+/,
		);
	} finally {
		process.chdir(home);
		rmSync(folder, { recursive: true });
	}
});
