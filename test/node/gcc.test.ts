import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import { parseElf } from "../../src/elf/index.js";
import { compile, type Manifest, manifestKey, objectFor, readManifest, sha256, sourceKey } from "../../src/node/gcc.js";
import { PROJECT } from "../../src/node/project.js";

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
				expect(sha256(bytes), `${entry!.file} is not what was built`).toBe(entry!.object);
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

	it("shows what gcc said", async () => {
		const path = await write("broken.c", "long f(long x) { return y; }\n");
		const error = await failure(() => objectFor(path));
		expect([error.code, error.where]).toEqual(["GCC_FAILED", path]);
		expect(error.message).toMatch(/broken\.c:1:\d+: error: .y. undeclared/);
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
