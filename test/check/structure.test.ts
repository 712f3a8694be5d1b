/** Findings in the structures that klp_enable_patch() gets. Each has a twin without the fault. */
import { describe, expect, test } from "vitest";
import { FAULTS } from "./faults.js";
import { check, kinds, ko, VERMAGIC } from "./ko.js";

test("a livepatch that is right has no finding", () => {
	const report = check(ko());
	expect(report).toMatchObject({
		verdict: "clean",
		findings: [],
		module: { name: "lp", livepatch: true, license: "GPL", vermagic: VERMAGIC, depends: [] },
		patches: [
			{
				form: "klp_patch",
				replace: false,
				states: [],
				objects: [{ name: "vmlinux", funcs: [{ oldName: "foo", sympos: 0, newFunc: "new_foo" }], callbacks: {} }],
			},
		],
	});
});

describe("each finding, and a twin without the fault", () => {
	for (const [index, [kind, faulty, dmesg, fixed = {}]] of FAULTS.entries()) {
		test(`${kind}, row ${index}`, () => {
			const report = check(ko(faulty));
			expect(kinds(report)).toEqual(kind.split(" "));
			expect(report.findings[0]?.dmesg).toBe(dmesg);
			expect(kinds(check(ko(fixed)))).toEqual([]);
		});
	}
});
