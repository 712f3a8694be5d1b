/**
 * npm run build:kernel-core: compiles Linux's own livepatch code into .cache/linux-6.12.klpcore, and its livepatch samples and selftest
 * modules into .cache/kernel-ko, unchanged, with the headers of Debian's linux-headers-6.12-cloud-amd64 (or those of the folder that is
 * given). `npm run build:kernel-modules` has unpacked the sources.
 */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { layoutFileOf, parseKernelCore } from "../src/linux/klp-c/index.js";
import { PROJECT, writeFolder, writeInFolder } from "../src/node/index.js";
import { buildKernelCore, buildModules, LAYOUT_FILE } from "../src/node/kernel/index.js";

const FOLDERS = ["samples/livepatch", "tools/testing/selftests/livepatch/test_modules"];
const UNPACKED = join(PROJECT, ".cache", "linux-source-6.12");
const TREE = process.env.KLPEMU_KERNEL_SOURCE ?? UNPACKED;
const MODULES = join(PROJECT, ".cache", "kernel-ko");

const headers = process.argv[2];
// A tree of the user need not be of the release that is installed, and headers may be of any.
const core = await buildKernelCore({ headers, source: headers === undefined && TREE === UNPACKED ? TREE : undefined });
await writeInFolder(join(PROJECT, ".cache", "linux-6.12.klpcore"), core.bytes);

const sources = new Map<string, string>();
for (const folder of FOLDERS) {
	for (const name of (await readdir(join(TREE, folder))).filter((file) => file.endsWith(".c")).sort()) {
		sources.set(basename(name, ".c"), await readFile(join(TREE, folder, name), "utf8"));
	}
}
const modules = await buildModules(core.headers, sources);
// The layout of their kernel, which may be a newer one than that of asm/kernel-layouts.
const layout = layoutFileOf(parseKernelCore(core.bytes, "the core"));
const files = [...modules].map(([name, bytes]): [string, string | Uint8Array] => [`${name}.ko`, bytes]);
await writeFolder(MODULES, new Map([...files, [LAYOUT_FILE, `${JSON.stringify(layout, null, "\t")}\n`]]));
console.log(
	`.cache/linux-6.12.klpcore, and ${modules.size} modules in .cache/kernel-ko, of Linux ${core.info.release}`,
);
