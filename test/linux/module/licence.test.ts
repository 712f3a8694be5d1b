/** Which symbols are for GPL modules only: as the kernel packages say it. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { isGplOnly } from "../../../src/linux/module/licence.js";
import { KO_LAYOUT } from "../../support/ko.js";
import { createTestMachine } from "../../support/machine.js";
import { skipBecause } from "../../support/skip.js";

/** Name and kind of export of each symbol of a packaged 6.12. */
function symvers(): Map<string, boolean> | undefined {
	const headers = readdirSync("/usr/src").find((name) => /^linux-headers-6\.12.*-cloud-amd64$/.test(name));
	if (headers === undefined) return undefined;
	const lines = readFileSync(`/usr/src/${headers}/Module.symvers`, "utf8").trimEnd().split("\n");
	return new Map(
		lines.map((line) => line.split("\t")).map(([, name = "", , kind = ""]) => [name, kind === "EXPORT_SYMBOL_GPL"]),
	);
}

test("each symbol that a machine offers is exported as in a real 6.12", async ({ skip }) => {
	const exported = symvers() ?? skipBecause(skip, "linux-headers-6.12-cloud-amd64 is not installed");
	const machine = await createTestMachine({ kernel: true, kernelLayout: KO_LAYOUT });
	const offered = [...exported.keys()].filter((name) => machine.it.symbols.resolve(name) !== undefined);
	expect(offered.length).toBeGreaterThan(100);
	expect(offered.filter((name) => isGplOnly(name) !== exported.get(name))).toEqual([]);
	machine.close();
});
