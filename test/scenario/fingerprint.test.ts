/** What a saved schedule recognises its scenario by. */
import { expect, test } from "vitest";
import { fingerprintOf, parseScenario } from "../../src/scenario/index.js";
import { plainCode } from "../../src/scenario/plain-code.js";

const YAML = `title: t
vmlinux: [a.c]
tasks: { w: { calls: [f], cpu: 0 } }
steps: [settle, { run: 50 }]
`;
const C = '#include "h.h"\nlong f(long x) { return x + 1; }\n';

async function fingerprint(yaml: string, c = C, h = "#define N 1\n", name = "a.c"): Promise<string> {
	const texts = new Map([
		[name, c],
		["h.h", h],
	]);
	const files = {
		read: async (path: string) => (texts.has(path) ? new TextEncoder().encode(texts.get(path)) : undefined),
		find: async (path: string) => path,
		candidates: (path: string) => [path],
	};
	return fingerprintOf(parseScenario(yaml, "s.yaml"), files);
}

test.each([
	["a comment and blank lines", YAML.replace("steps:", "# why\n\nsteps:"), C],
	["the form of a step", YAML.replace("{ run: 50 }", "{ run: { rounds: 50 } }"), C],
	["a default that is written down", `${YAML}cpus: 2\n`, C],
	["the title, and what is expected", `${YAML.replace("title: t", "title: u")}expect: violated\n`, C],
	["comments and layout of C", YAML, '#include   "h.h" // here\n/* f */ long f( long x )\n{\n\treturn x+1;\n}\n'],
])("the same: %s", async (_, yaml, c) => {
	expect(await fingerprint(yaml, c)).toBe(await fingerprint(YAML));
});
test("the same: the name of a source", async () => {
	expect(await fingerprint(YAML.replace("a.c", "b.c"), C, undefined, "b.c")).toBe(await fingerprint(YAML));
});

test.each([
	["a step", YAML.replace("run: 50", "run: 51"), C, undefined],
	["the CPU of a task", YAML.replace("cpu: 0", "cpu: 1"), C, undefined],
	["C", YAML, C.replace("x + 1", "x + 2"), undefined],
	["a text in C that looks like a comment", YAML, `${C}char s[] = "/* a */";`, undefined],
	["a header that C includes", YAML, C, "#define N 2\n"],
])("another one: %s", async (_, yaml, c, h) => {
	expect(await fingerprint(yaml, c, h)).not.toBe(await fingerprint(YAML));
});

test("code without comments and blank space", () => {
	const same = (a: string, b: string, assembly = false) => plainCode(a, assembly).code === plainCode(b, assembly).code;
	expect(same("x = - -y;", "x = --y;")).toBe(false);
	expect(same('s = "a  b";', 's = "a b";')).toBe(false);
	expect(same('s = "//";', 's = "";')).toBe(false);
	expect(same("#define F(x) x", "#define F (x) x")).toBe(false);
	expect(same("a /* x */ b", "a b")).toBe(true);
	expect(same("int a;int b;", "int a;\n\n  int b; // b")).toBe(true);
	expect(same("mov %rax, %rbx # copy\n\n", "\tmov %rax, %rbx", true)).toBe(true);
	expect(same("nop\nret", "nop ret", true)).toBe(false);
});
