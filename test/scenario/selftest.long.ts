/** The kernel's own selftests under every design. */
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { designs } from "../../src/designs/index.js";
import { cliOf } from "../support/cli.js";
import { KERNEL_KO, KERNEL_MODULES, NO_KERNEL_CORE, NO_KERNEL_MODULES, skipBecause } from "../support/skip.js";

/** The titles of the tests that fail. */
async function failed(...argv: string[]): Promise<(string | undefined)[]> {
	const { stdout } = await cliOf(["selftest", ...argv]);
	expect(stdout).toContain("# Totals: ");
	return [...stdout.matchAll(/^ {4}not ok \d+ (.*)$/gm)].map(([, title]) => title);
}

test.for(designs.map(({ name }) => name))(
	"the .ko files of the kernel's own build do as the modules compiled against asm/include: %s",
	async (design, { skip }) => {
		if (!existsSync(KERNEL_KO)) skipBecause(skip, NO_KERNEL_CORE);
		if (!existsSync(KERNEL_MODULES)) skipBecause(skip, NO_KERNEL_MODULES);
		const kernel = await failed("--design", design, "--modules", KERNEL_KO);
		expect(kernel).toEqual(await failed("--design", design));
	},
);
