import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { hashOfBytes, KlpemuError } from "../../src/base/index.js";
import { parseElf } from "../../src/elf/index.js";
import { compile } from "../../src/node/compile.js";
import { type Manifest, manifestKey, objectFor, readManifest, sourceKey } from "../../src/node/gcc.js";
import { PROJECT } from "../../src/node/project.js";
import { longTest } from "../support/sample.js";

const PREBUILT = join(PROJECT, "asm/prebuilt");
let folder: string;

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-test-"));
});
afterEach(async () => {
	vi.unstubAllEnvs();
	await rm(folder, { recursive: true });
});

async function failure(run: () => Promise<unknown>): Promise<KlpemuError> {
	try {
		await run();
	} catch (error) {
		if (error instanceof KlpemuError) return error;
		throw error;
	}
	throw new Error("no error");
}

async function write(name: string, text: string): Promise<string> {
	const path = join(folder, name);
	await writeFile(path, text);
	return path;
}

describe("the committed objects", () => {
	it("are those of the sources, in both variants; otherwise run `npm run build:objects`", async () => {
		const manifest: Manifest = await readManifest();
		const sources: string[] = [];
		for (const name of ["vmlinux", "livepatches"]) {
			const files = await readdir(join(PROJECT, "asm", name));
			sources.push(...files.filter((file) => file.endsWith(".c")).map((file) => `asm/${name}/${file}`));
		}
		for (const source of sources) {
			for (const ibt of [false, true]) {
				const entry = manifest[manifestKey(source, { ibt })];
				expect(entry, `${source} has no object`).toBeDefined();
				const key = await sourceKey(join(PROJECT, source), { ibt });
				expect(key, `${source} changed since its object was built`).toBe(entry!.key);
				const bytes = await readFile(join(PREBUILT, entry!.file));
				expect(hashOfBytes(bytes), `${entry!.file} is not what was built`).toBe(entry!.object);
			}
		}
	});

	it("need no compiler", async () => {
		vi.stubEnv("CC", "no-such-compiler");
		const { bytes, fileName } = await objectFor(join(PROJECT, "asm/vmlinux/funcs.c"), { ibt: true });
		expect(parseElf(bytes, fileName).symbols.map(({ name }) => name)).toContain("funcA");
	});

	it("tell nothing of where they were made", async () => {
		for (const { file } of Object.values(await readManifest())) {
			const text = (await readFile(join(PREBUILT, file))).toString("latin1");
			expect(text).not.toContain(PROJECT);
			expect(text).not.toContain(tmpdir());
		}
	});
});

describe("objectFor", () => {
	it("takes an .o as it is", async () => {
		const path = await write("x.o", "anything");
		expect(Buffer.from((await objectFor(path)).bytes).toString()).toBe("anything");
	});

	it("compiles C, the same bytes wherever the source lies", async () => {
		const text = "long f(long x) { return x + 1; }\n";
		const first = await objectFor(await write("f.c", text));
		const other = await mkdtemp(join(tmpdir(), "klpemu-elsewhere-"));
		try {
			await writeFile(join(other, "f.c"), text);
			const second = await objectFor(join(other, "f.c"));
			expect(Buffer.compare(first.bytes, second.bytes)).toBe(0);
		} finally {
			await rm(other, { recursive: true });
		}
		const sections = parseElf(first.bytes, "f.o").sections.map(({ name }) => name);
		expect(sections).toEqual(expect.arrayContaining(["__mcount_loc", ".eh_frame"]));
	});

	it("puts endbr64 before the fentry site with ibt, and only then", async () => {
		const path = await write("f.c", "long f(long x) { return x + 1; }\n");
		for (const [ibt, first] of [
			[false, [0xe8, 0, 0, 0, 0]],
			[true, [0xf3, 0x0f, 0x1e, 0xfa, 0xe8]],
		] as const) {
			const { sections } = parseElf((await objectFor(path, { ibt })).bytes, "f.o");
			const text = sections.find(({ name }) => name === ".text")!;
			expect([...text.data.subarray(0, 5)]).toEqual(first);
		}
	});

	it("finds the project's headers, and assembles .S", async () => {
		const c = await write("g.c", "#include <linux/compiler.h>\nnoinline notrace long g(void) { return 2; }\n");
		expect(parseElf((await objectFor(c)).bytes, "g.o").symbols.map(({ name }) => name)).toContain("g");
		const s = await write("h.S", ".text\n.globl h\nh: ret\n");
		expect(parseElf((await objectFor(s)).bytes, "h.o").symbols.map(({ name }) => name)).toContain("h");
	});

	it("shows the messages of gcc", async () => {
		const path = await write("broken.c", "long f(long x) { return y; }\n");
		const error = await failure(() => objectFor(path));
		expect([error.code, error.where]).toEqual(["GCC_FAILED", path]);
		expect(error.message).toMatch(/broken\.c:1:\d+: error: .y. undeclared/);
	});

	it("gives gcc's warnings, with control characters made visible", async () => {
		const path = await write("warns.c", "#warning \x1b[31mred\nlong f(long x) { int y; return x; }\n");
		const { warnings } = await objectFor(path);
		expect(warnings).toContain("warns.c:2:");
		expect(warnings).toContain("unused variable 'y'");
		expect(warnings).toContain("\\x1b[31mred");
		expect(warnings).not.toContain("\x1b");
	});

	it.each([
		[
			"an implicit declaration",
			"long f(void) { return g(); }",
			/bad\.c:1:\d+: error: implicit declaration of function 'g'/,
		],
		["an implicit int", "f(void) { return 1; }", /bad\.c:1:1: error: return type defaults to 'int'/],
		[
			"a pointer of another type",
			"char *f(long *x) { char *y = x; return y; }",
			/bad\.c:1:\d+: error: .*incompatible pointer type/,
		],
		["an int as a pointer", "char *f(int x) { return x; }", /bad\.c:1:\d+: error: .*makes pointer from integer/],
	])("refuses %s", async (_what, text, message) => {
		const error = await failure(async () => objectFor(await write("bad.c", `${text}\n`)));
		expect(error.code).toBe("GCC_FAILED");
		expect(error.message).toMatch(message);
	});

	it("says which header declares a function", async () => {
		const error = await failure(async () => objectFor(await write("f.c", "void *f(void) { return kzalloc(8, 0); }\n")));
		expect(error.hint).toBe("#include <linux/slab.h> declares kzalloc()");
	});

	it("never sees the host's headers, and says which there are", async () => {
		vi.stubEnv("CPATH", "/usr/include");
		for (const name of ["stdio.h", "stddef.h", "linux/if.h"]) {
			const error = await failure(async () => objectFor(await write("f.c", `#include <${name}>\n`)));
			expect(error.message).toContain(`fatal error: ${name}: No such file`);
			expect(error.hint).toContain("linux/slab.h, ");
		}
		const error = await failure(async () => objectFor(await write("f.c", "#include <linux/spinlok.h>\n")));
		expect(error.hint).toMatch(/^did you mean <linux\/spinlock\.h>\?/);
	});

	it.each([
		['#include "/etc/passwd"', "f.c includes '/etc/passwd'"],
		['#include "link.h"', "f.c includes 'link.h'"],
		['#include "deep.h"', "deep.h includes '/etc/passwd'"],
		// Nothing is wrong with what these files say.
		['#include "/dev/null"', "f.c includes '/dev/null'"],
		['#include "back\\/empty.h"', "f.c includes 'back\\/empty.h'"],
		['__asm__(".incbin \\"/etc/passwd\\"");', "f.c includes '/etc/passwd'"],
		['__asm__(".include \\"/etc/passwd\\"");', "f.c includes '/etc/passwd'"],
	])("reads no file outside of the folders: %s", async (text, message) => {
		await symlink("/etc/passwd", join(folder, "link.h"));
		await write("deep.h", '#include "/etc/passwd"\n');
		// Without its backslash the name is that of a file which may be included.
		for (const name of ["back", "back\\"]) await mkdir(join(folder, name));
		await write("back/empty.h", "");
		await symlink("/dev/null", join(folder, "back\\", "empty.h"));
		const error = await failure(async () => objectFor(await write("f.c", `${text}\n`)));
		expect(error.code).toBe("GCC_INCLUDE");
		expect(error.message).toContain(message);
		expect(error.format()).not.toContain("root:");
	});

	it("asks the preprocessor where the compiler leaves no list of files", async () => {
		const cc = await write("cc", '#!/bin/sh\ngcc "$@" || exit\nrm -f "$TMPDIR/headers.d"\n');
		await chmod(cc, 0o755);
		vi.stubEnv("CC", cc);
		expect((await objectFor(await write("f.c", "int x;\n"))).bytes.length).toBeGreaterThan(0);
		const error = await failure(async () => objectFor(await write("f.c", '#include "/dev/null"\n')));
		expect(error.code).toBe("GCC_INCLUDE");
	});

	it("tells nothing of where the headers are, in a WARN() of one of them neither", async () => {
		const path = await write("f.c", "#include <linux/refcount.h>\nvoid f(refcount_t *r) { refcount_inc(r); }\n");
		const text = Buffer.from((await objectFor(path)).bytes).toString("latin1");
		expect(text).toContain("include/linux/refcount.h");
		expect(text).not.toContain(PROJECT);
	});

	it("may include files of the scenario's folder", async () => {
		await mkdir(join(folder, "a"));
		await write("common.h", "#define VALUE 7\n");
		const path = await write("a/f.c", '#include "../common.h"\nlong f(void) { return VALUE; }\n');
		expect((await failure(() => objectFor(path))).code).toBe("GCC_INCLUDE");
		expect((await objectFor(path, { folder })).bytes.length).toBeGreaterThan(0);
	});

	longTest("has limits: an object of a gigabyte, and an endless file", async () => {
		for (const text of ["char x[1 << 30] = { 1 };", '#include "/dev/zero"']) {
			const error = await failure(async () => objectFor(await write("f.c", `${text}\n`)));
			expect(error.code).toBe("GCC_LIMIT");
		}
	});

	it.each(["@args.c", "@args.S", "-wrapper.c", '"; #define X.c', "a\nb.c", "a\\.c"])(
		"never gives %j to gcc: no option, no response file",
		async (name) => {
			const ran = join(folder, "RAN");
			// What gcc would read as options if it took the name as `@file`; the wrapper would run instead of cc1.
			await write("args.c", `-wrapper sh,-c,"touch ${ran}; exec \\"$0\\" \\"$@\\"" real.c\n`);
			await write("real.c", "int realx;\n");
			const path = await write(name, "int x;\n");
			const error = await failure(() => objectFor(path));
			expect([error.code, error.where]).toEqual(["SOURCE_NAME", path]);
			expect(await readdir(folder)).not.toContain("RAN");
		},
	);

	it("compiles where the folder's name looks like options, or has = and quotes", async () => {
		for (const name of ["@args", "-wrapper", 'a=b "c"']) {
			await mkdir(join(folder, name));
			const path = await write(`${name}/f.c`, "const char *f(void) { return __FILE__ KBUILD_MODNAME; }\n");
			const text = Buffer.from((await objectFor(path)).bytes).toString("latin1");
			expect(text).toContain("f.cf");
			expect(text).not.toContain(folder);
		}
	});

	it("says that gcc is missing", async () => {
		vi.stubEnv("CC", "no-such-compiler");
		const path = await write("f.c", "long f;\n");
		const error = await failure(() => compile(path, {}));
		expect(error.code).toBe("GCC_MISSING");
		expect(error.hint).toContain("gcc");
	});

	it.each(["missing.c", "missing.o", "no/such/folder/missing.S"])("says that %s is not there", async (name) => {
		const error = await failure(() => objectFor(join(folder, name)));
		expect(error.code).toBe("FILE_UNREADABLE");
		expect(error.message).toContain("ENOENT");
	});

	it("refuses other files", async () => {
		expect((await failure(() => objectFor("notes.txt"))).code).toBe("SOURCE_KIND");
	});
});
