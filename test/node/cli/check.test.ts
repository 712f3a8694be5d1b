/** klpemu check as a command: the text, the JSON, exit statuses, files that cannot be read. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { CheckReport } from "../../../src/check/index.js";
import { renderCheck } from "../../../src/node/cli/check-report.js";
import { type KoOptions, ko, textFile } from "../../check/ko.js";
import { cliOf } from "../../support/cli.js";

const folder = mkdtempSync(join(tmpdir(), "klpemu-cli-check-"));

function file(options: KoOptions = {}): string {
	const { name, bytes } = ko(options);
	writeFileSync(join(folder, name), bytes);
	return join(folder, name);
}

async function cli(...argv: string[]) {
	const { status, stdout, stderr } = await cliOf(["check", ...argv]);
	const plain = (text: string): string => text.replaceAll(`${folder}/`, "");
	return { status, stdout: plain(stdout), stderr: plain(stderr) };
}

test("a livepatch that is right: status 0, and what was not looked at", async () => {
	expect(await cli(file())).toMatchInlineSnapshot(`
		{
		  "status": 0,
		  "stderr": "",
		  "stdout": "lp.ko: a livepatch in which nothing wrong was found

		module lp; for 6.12.117+deb12-cloud-amd64 SMP preempt mod_unload modversions;
		licence GPL
		livepatch: stacks on others
		  vmlinux
		    foo -> new_foo

		looked at      sections, symbols and relocations, as the module loader looks at
		               them
		looked at      the livepatch's structures, by the layout of
		               6.12.117+deb12-cloud-amd64
		not looked at  whether the kernel exports the symbols that it uses: give
		               --against Module.symvers
		not looked at  names and positions in vmlinux: give --against a System.map or
		               vmlinux
		",
		}
	`);
});

test("all that a report may say of a module, and of what it lacks", () => {
	const object = { name: "ext4", callbacks: {}, relocations: 0, symbols: [] };
	const report: CheckReport = {
		...{ schema: 1, file: "x.ko", verdict: "clean", findings: [], lookedAt: [], notLookedAt: ["all"] },
		module: { name: "x", livepatch: false, license: null, vermagic: null, depends: ["a", "b"] },
		patches: [
			{
				...{ form: "kpatch", replace: null, states: [] },
				objects: [
					{
						...{ name: "vmlinux", callbacks: { pre_patch: "pre", post_patch: "post" }, relocations: 30 },
						symbols: Array.from({ length: 22 }, (_, index) => `s${index}`),
						funcs: [
							{ oldName: "foo", sympos: 2, newFunc: "new", oldAddress: "ffffffff81000000", oldFile: "foo.c" },
							{ oldName: null, sympos: 0, newFunc: null },
						],
					},
					{ ...object, relocations: 1, symbols: ["one"], funcs: [] },
				],
			},
		],
	};
	const text = renderCheck(report, (_role, line) => line);
	expect(text).toBe(`x.ko: a livepatch in which nothing wrong was found

module x; without vermagic; without a licence; needs a, b
livepatch of kpatch: replace is set at run time
  vmlinux
    foo, position 2 (ffffffff81000000 of foo.c) -> new
    (null) -> (null)
    callbacks: pre_patch pre(), post_patch post()
    30 livepatch relocations: s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 s12 s13 s14
                              s15 s16 s17 s18 s19 and 2 more
  ext4
    1 livepatch relocation: one

not looked at  all
`);
	const none = { ...report, patches: [] };
	expect(renderCheck(none, (_role, line) => line)).toMatch(/^x\.ko: a module, no livepatch, in which nothing wrong/);
	const marked = { ...none, module: { ...report.module, livepatch: true } };
	expect(renderCheck(marked, (_role, line) => line)).toMatch(/^x\.ko: a livepatch in which nothing wrong/);
});

test("a refusal, a fault and a remark: status 1, sorted by weight, 80 columns", async () => {
	writeFileSync(join(folder, "System.map"), textFile("", ["ffffffff81000000 T fooo"]).bytes);
	const { status, stdout } = await cli(
		file({
			code: "noinline long new_foo(long x) { schedule(); return x; }",
			funcs: '{ .old_name = "foo", .new_func = new_foo }, { .old_name = "fooo", .new_func = new_foo }, { }',
			more: "static struct klp_state states[] = { { 5, 1 }, { 5, 2 }, { } };",
			patch: ".mod = THIS_MODULE, .objs = objs, .states = states, .replace = 1",
		}),
		"--against",
		join(folder, "System.map"),
	);
	expect(status).toBe(1);
	expect(stdout).toMatchInlineSnapshot(`
		"lp.ko: the kernel refuses it, for 1 reason; 1 thing wrong; 2 remarks

		module lp; for 6.12.117+deb12-cloud-amd64 SMP preempt mod_unload modversions;
		licence GPL
		livepatch: replaces all others; states 5 version 1, 5 version 2
		  vmlinux
		    foo -> new_foo
		    fooo (ffffffff81000000) -> new_foo

		refused: symbol-missing vmlinux foo,1
		    There is no function with this name in its object.
		    here:  System.map has no 'foo'
		    errno: -EINVAL
		    dmesg: livepatch: symbol 'foo' not found in symbol table
		    to do: write the name that kallsyms has; the compiler may have inlined,
		           renamed or dropped the function

		wrong: state-twice
		    Two states have the same id: the second one is never found.
		    here:  the state 5 is there twice
		    to do: give each state its own id

		remark: holds-up 2 times
		    A function may sleep. A task that sleeps in the old function holds up
		    enabling; in the replacement, disabling and replacing.
		    here:  vmlinux foo,1: new_foo calls schedule(): sleeps until an event
		    here:  vmlinux fooo,1: new_foo calls schedule(): sleeps until an event
		    to do: expect the transition to last until the task wakes up and leaves the
		           function

		looked at      sections, symbols and relocations, as the module loader looks at
		               them
		looked at      the livepatch's structures, by the layout of
		               6.12.117+deb12-cloud-amd64
		not looked at  whether the kernel exports the symbols that it uses: give
		               --against Module.symvers
		not looked at  call sites and code of vmlinux: System.map has symbols only; give
		               --against vmlinux
		"
	`);
	expect(stdout.split("\n").filter((line) => line.length > 80 && !line.includes(folder))).toEqual([]);
});

test("--json: one document, schema 1, with the same status", async () => {
	const { status, stdout } = await cli(file({ modinfo: { livepatch: null } }), "--json");
	expect(status).toBe(1);
	expect(JSON.parse(stdout)).toMatchObject({
		schema: 1,
		file: expect.stringMatching(/lp\.ko$/),
		verdict: "refused",
		module: { name: "lp", livepatch: false },
		patches: [{ form: "klp_patch", objects: [{ name: "vmlinux", funcs: [{ oldName: "foo" }] }] }],
		findings: [{ kind: "unmarked", weight: "refused", errno: "-EINVAL", place: { in: ".modinfo" } }],
		lookedAt: expect.any(Array),
		notLookedAt: expect.any(Array),
	});
});

test("control characters of the file are shown as escapes, in both forms", async () => {
	const bad = file({ funcs: '{ .old_name = "fo\\033[31mo", .new_func = new_foo }, { }' });
	for (const { stdout } of [await cli(bad), await cli(bad, "--json")]) {
		expect(stdout).not.toContain("\x1b");
		expect(stdout).toMatch(/fo\\+x1b\[31mo/);
	}
});

test("a module of a kernel whose layout is not known is read by the usual one, and that is said", async () => {
	const other = file({ modinfo: { vermagic: "6.6.1 SMP preempt mod_unload " } });
	const { status, stdout } = await cli(other, "--json");
	expect(status).toBe(0);
	const { lookedAt } = JSON.parse(stdout) as { lookedAt: string[] };
	expect(lookedAt).toContain("the livepatch's structures, by the layout of 6.12.117+deb12-cloud-amd64, which fits");
});

test("a compressed module: status 2, and the command that unpacks it", async () => {
	const name = join(folder, "lp.ko.xz");
	writeFileSync(name, Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0));
	expect(await cli(name)).toEqual({
		status: 2,
		stdout: "",
		stderr: "lp.ko.xz: the file is compressed\n  hint: xz -dk lp.ko.xz unpacks it\n",
	});
});

test.each([
	["no.ko", [], "there is no file 'no.ko'"],
	["package.json", [], "package.json: not an ELF file"],
	["", ["--against", "package.json"], "package.json:1: '{' is not 'ADDRESS TYPE NAME'"],
	["", ["--core", "package.json"], "package.json: not an ELF file"],
])("%s %j: status 2", async (name, more, message) => {
	const { status, stdout, stderr } = await cli(name === "" ? file() : name, ...more);
	expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
	expect(stderr).toContain(message);
});
