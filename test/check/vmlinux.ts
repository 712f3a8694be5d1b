import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InputFile } from "../../src/check/index.js";
import { compileC } from "./ko.js";

/** Links objects to a kernel that only looks like one. */
export function vmlinux(files: Readonly<Record<string, string>>): InputFile {
	const folder = mkdtempSync(join(tmpdir(), "klpemu-vmlinux-"));
	try {
		const objects = Object.entries(files).map(([name, text]) => {
			writeFileSync(join(folder, `${name}.o`), compileC(text, [], `${name}.c`));
			return `${name}.o`;
		});
		const flags = [
			"-nostdlib",
			"-static",
			"-no-pie",
			"-Wl,-Ttext=0xffffffff81000000",
			"-Wl,--build-id=none",
			"-Wl,-e0",
		];
		const symbols = [
			"_stext=0xffffffff81000000",
			"__start_mcount_loc=__start___mcount_loc",
			"__stop_mcount_loc=__stop___mcount_loc",
		];
		const defined = symbols.map((symbol) => `-Wl,--defsym=${symbol}`);
		execFileSync("gcc", [...flags, ...defined, "-o", "vmlinux", ...objects], {
			cwd: folder,
			stdio: ["ignore", "pipe", "pipe"],
		});
		return { name: "vmlinux", bytes: new Uint8Array(readFileSync(join(folder, "vmlinux"))) };
	} finally {
		rmSync(folder, { recursive: true });
	}
}
