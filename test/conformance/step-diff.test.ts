import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { stepDiff } from "../../tools/step-diff.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

async function run(input: string): Promise<{ status: number; stdout: string; stderr: string }> {
	const printed = { stdout: "", stderr: "" };
	const to = (name: keyof typeof printed) => (line: string) => {
		printed[name] += `${line}\n`;
	};
	return { status: await stepDiff([], input, to("stdout"), to("stderr")), ...printed };
}

test("the line of docs/cpu.md shows the instruction and the registers that differ", () => {
	const line = /^ {4}(echo .*tools\/step-diff\.ts.*)$/m.exec(readFileSync(join(ROOT, "docs/cpu.md"), "utf8"))![1]!;
	// add rax, rbx; then test with the encoding that Unicorn does not have (exceptions.ts)
	const { status, stdout } = spawnSync("bash", ["-c", line], { cwd: ROOT, encoding: "utf8" });
	expect(status).toBe(1);
	expect(stdout).toMatch(/^after 1 instructions, 0x0000000010000003: test al, 0x80$/m);
	expect(stdout).toMatch(/start\s+jit\s+unicorn/);
	expect(stdout).toMatch(/^\* ends\s+budget\s+invalid-opcode$/m);
	expect(stdout).toMatch(/^\* rip\s+0x0000000010000003\s+0x0000000010000006\s+0x0000000010000003$/m);
});

test.each([
	["", /^usage: echo REQUEST/],
	["{", /^step-diff: .*JSON/],
	['{"code":"4801d8"}', /^step-diff: 'at' must be a 64-bit number/],
])("step-diff says how it is used, given %j", async (input, message) => {
	const { status, stdout, stderr } = await run(input);
	expect([status, stdout]).toEqual([2, ""]);
	expect(stderr).toMatch(message);
	expect(stderr).toContain("usage: ");
});

test("step-diff says when there is no difference", async () => {
	const { status, stdout } = await run('{"code":"4801d8","at":"0x10000000"}');
	expect([status, stdout]).toEqual([0, "1 instructions, no difference\n"]);
});
