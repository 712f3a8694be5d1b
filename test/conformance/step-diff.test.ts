import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

function stepDiff(request: unknown): { status: number | null; stdout: string } {
	const input = JSON.stringify(request);
	return spawnSync("npx", ["tsx", "tools/step-diff.ts"], { cwd: ROOT, input, encoding: "utf8" });
}

test("step-diff shows the instruction and the registers that differ", () => {
	// add rax, rbx; then test with the encoding that Unicorn does not have (exceptions.ts)
	const { status, stdout } = stepDiff({ code: "4801d8f6c880", at: "0x10000000", regs: { rax: "1", rbx: "2" } });
	expect(status).toBe(1);
	expect(stdout).toMatch(/^after 1 instructions, 0x0000000010000003: test al, 0x80$/m);
	expect(stdout).toMatch(/start\s+jit\s+unicorn/);
	expect(stdout).toMatch(/^\* ends\s+budget\s+invalid-opcode$/m);
	expect(stdout).toMatch(/^\* rip\s+0x0000000010000003\s+0x0000000010000006\s+0x0000000010000003$/m);
});

test("step-diff says when there is no difference", () => {
	const { status, stdout } = stepDiff({ code: "4801d8", at: "0x10000000" });
	expect([status, stdout]).toEqual([0, "1 instructions, no difference\n"]);
});
