/**
 * npm run build:kernel-layouts: the layout of the installed kernel headers, as JSON, into asm/kernel-layouts/: facts that let a .ko
 * run where no kernel core file is given. The committed file is of Debian's linux-headers-6.12-cloud-amd64.
 */
import { join } from "node:path";
import { layoutFileOf, parseKernelCore } from "../src/linux/klp-c/index.js";
import { PROJECT, writeInFolder } from "../src/node/index.js";
import { buildKernelCore } from "../src/node/kernel/index.js";

const folder = join(PROJECT, "asm", "kernel-layouts");
const core = await buildKernelCore({ headers: process.argv[2] });
const layout = layoutFileOf(parseKernelCore(core.bytes, "the core"));
const file = join(folder, `${layout.release.replace(/^(\d+\.\d+)\.\d+(?:\+[^-]*)?/, "$1")}.json`);
await writeInFolder(file, `${JSON.stringify(layout, null, "\t")}\n`);
console.log(`${file}: the layout of Linux ${layout.release}, ${Object.keys(layout.entries).length} entries`);
