/**
 * npm run build:kernel-modules: compiles Linux's own livepatch samples and selftest modules, unchanged, into
 * .cache/kernel-modules. The sources come from KLPEMU_KERNEL_SOURCE (an unpacked tree) or from Debian's linux-source-6.12.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { compile, PROJECT, writeFolder } from "../src/node/index.js";
import { CORE_FILES } from "../src/node/kernel/index.js";

const FOLDERS = ["samples/livepatch", "tools/testing/selftests/livepatch/test_modules"];
/** What tools/kernel-core.ts and tests compile, too: the tarball is unpacked once, because that takes longer than all else. */
const CORE = [...CORE_FILES, "include/linux/livepatch.h"];
const TARBALL = "/usr/src/linux-source-6.12.tar.xz";
const UNPACKED = join(PROJECT, ".cache", "linux-source-6.12");
const OBJECTS = join(PROJECT, ".cache", "kernel-modules");

/** The tree that holds {@link FOLDERS}. */
async function sourceTree(): Promise<string> {
	const given = process.env.KLPEMU_KERNEL_SOURCE;
	if (given !== undefined) return given;
	if (!existsSync(TARBALL)) {
		throw new Error(
			`there is no ${TARBALL}: apt-get install -y linux-source-6.12 xz-utils, or set KLPEMU_KERNEL_SOURCE`,
		);
	}
	const members = [...FOLDERS, ...CORE].map((path) => `linux-source-6.12/${path}`);
	// Beside its place first: half a tree would be taken for one.
	const partial = `${UNPACKED}.tmp`;
	for (const folder of [partial, UNPACKED]) await rm(folder, { recursive: true, force: true });
	await mkdir(partial, { recursive: true });
	execFileSync("tar", ["-xJf", TARBALL, "-C", partial, "--strip-components=1", ...members], {
		stdio: "inherit",
		// xz unpacks on all CPUs.
		env: { ...process.env, XZ_DEFAULTS: "-T0" },
	});
	await rename(partial, UNPACKED);
	return UNPACKED;
}

const tree = await sourceTree();
const objects = new Map<string, Uint8Array>();
for (const folder of FOLDERS) {
	const sources = (await readdir(join(tree, folder))).filter((name) => name.endsWith(".c")).sort();
	for (const source of sources) {
		// As kbuild names modules.
		const name = basename(source, ".c").replaceAll("-", "_");
		objects.set(`${name}.o`, (await compile(join(tree, folder, source), {})).bytes);
	}
}
await writeFolder(OBJECTS, objects);
console.log(`${objects.size} modules in .cache/kernel-modules, from ${tree}`);
