import { resolve } from "node:path";
import { KlpemuError, printable, printableJson } from "../../base/index.js";
import { parseKernelCore } from "../../linux/klp-c/index.js";
import { checkWritable, readIfThere, writeWhole } from "../files.js";
import { buildKernelCore } from "../kernel/index.js";
import { type Command, EXIT } from "./command.js";
import { kernelCoreJson, renderKernelCore } from "./kernel-show.js";

interface KernelBuildArguments {
	readonly source: string | undefined;
	readonly headers: string | undefined;
	readonly patch: readonly string[];
	readonly fuzz: bigint | undefined;
	readonly out: string | undefined;
}

export const kernelBuildCommand: Command<KernelBuildArguments> = {
	positionals: [],
	options: {
		source: { type: "text", value: "TREE|TARBALL", help: "a source of Linux, instead of the installed one" },
		headers: { type: "text", value: "DIR", help: "a built or prepared kernel tree, or a package's headers" },
		patch: { type: "list", value: "FILE", help: "a unified diff, applied to a copy of the source" },
		fuzz: { type: "uint64", value: "N", help: "lines at each end of a hunk that may be others (default: 0)" },
		out: { type: "text", value: "FILE", help: "the file to write, instead of linux-6.12.klpcore or the like" },
	},
	details: [
		"Compiles kernel/livepatch with the kernel's own build, in a temporary folder, and adds the layout of",
		"that kernel's structures. Without options: Debian's linux-source and",
		"linux-headers, or /lib/modules/$(uname -r)/build.",
		"A hunk may apply at another line, which is told. The lines around its change must be those of the",
		"patch, as git apply wants it; --fuzz allows others, as patch(1) does by itself (its --fuzz is 2).",
		"Exit status: 0 written, 2 bad input.",
	],
	async run({ source, headers, patch, fuzz, out }, _positionals, { stdout, stderr }) {
		// Before some seconds of work. The default name is known after it.
		await checkWritable(resolve(out ?? "linux.klpcore"));
		const built = await buildKernelCore({ source, headers, patches: patch, fuzz: Number(fuzz ?? 0n) });
		const series = built.headers.version.split(".").slice(0, 2).join(".");
		const file = out ?? `linux-${series}.klpcore`;
		await writeWhole(resolve(file), built.bytes);
		for (const notice of built.notices) stderr.write(`${printable(notice)}\n`);
		const patched = patch.length === 0 ? "unchanged" : `with ${patch.join(", ")}`;
		stdout.write(
			printable(
				[
					`${file}: kernel/livepatch of Linux ${built.info.release}, ${patched}`,
					`  source   ${built.source.path}`,
					`  headers  ${built.headers.folder}`,
					`  compiler ${built.info.compiler}`,
					"",
				].join("\n"),
			),
		);
		return EXIT.ok;
	},
};

interface KernelShowArguments {
	readonly json: boolean;
}

export const kernelShowCommand: Command<KernelShowArguments> = {
	positionals: [{ name: "FILE", help: "a file that klpemu kernel build has written" }],
	options: { json: { type: "flag", help: "print JSON" } },
	async run({ json }, [file], { stdout }) {
		const bytes = await readIfThere(file!);
		if (bytes === undefined) throw new KlpemuError("FILE_MISSING", `there is no file '${file}'`);
		const core = parseKernelCore(bytes, file!);
		stdout.write(json ? `${printableJson(kernelCoreJson(core), "\t")}\n` : printable(renderKernelCore(core)));
		return EXIT.ok;
	},
};
