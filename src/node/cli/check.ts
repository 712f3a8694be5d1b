import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { KlpemuError, printable, printableData } from "../../base/index.js";
import { checkModule, type InputFile } from "../../check/index.js";
import { type KernelLayout, parseKernelCore, parseKernelLayout } from "../../linux/klp-c/index.js";
import { coloured, plain, wantsColour } from "../../report/index.js";
import { readIfThere } from "../files.js";
import { kernelLayoutFor } from "../kernel/index.js";
import { PROJECT } from "../project.js";
import { renderCheck } from "./check-report.js";
import { type Command, EXIT } from "./command.js";

interface CheckArguments {
	readonly core: string | undefined;
	readonly against: readonly string[];
	readonly json: boolean;
}

export const checkCommand: Command<CheckArguments> = {
	positionals: [{ name: "FILE", help: "a livepatch module (.ko)" }],
	options: {
		core: { type: "text", value: "FILE", help: "the kernel's core (klpemu kernel build), for its structures" },
		against: { type: "list", value: "FILE", help: "vmlinux, System.map, kallsyms, Module.symvers, target.ko" },
		json: { type: "flag", help: "print the report as one JSON document" },
	},
	details: [
		"Nothing is executed. docs/check.md lists all kinds of findings, and describes the JSON.",
		"Exit status: 0 nothing is wrong (there may be remarks), 1 findings, 2 a file cannot be read.",
		"",
		"Example:",
		"  klpemu check livepatch-sample.ko --against System.map --against Module.symvers",
	],
	async run({ core, against, json }, [path], { stdout, stderr, env }) {
		const file = await input(path!);
		const tell = ({ where, reason }: KlpemuError) =>
			stderr.write(printable(`${where} is left out, and the structures of another file are taken: ${reason}\n`));
		const layout =
			core === undefined ? await layoutFor(file, tell) : parseKernelCore((await input(core)).bytes, core).layout;
		const files = await Promise.all(against.map(input));
		const report = checkModule(file, { layout, exactLayout: core !== undefined, against: files });
		const paint = wantsColour(env, stdout) ? coloured : plain;
		stdout.write(json ? `${JSON.stringify(printableData(report), undefined, "\t")}\n` : renderCheck(report, paint));
		return report.verdict === "clean" ? EXIT.ok : EXIT.no;
	},
};

/** As distributions compress modules. */
const PACKERS = [
	{ magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], unpack: "xz -dk" },
	{ magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: "zstd -dk" },
	{ magic: [0x1f, 0x8b], unpack: "gzip -dk" },
];

async function input(name: string): Promise<InputFile> {
	const bytes = await readIfThere(name);
	if (bytes === undefined) throw new KlpemuError("FILE_MISSING", `there is no file '${name}'`);
	const packer = PACKERS.find(({ magic }) => magic.every((byte, at) => bytes[at] === byte));
	if (packer !== undefined) {
		const hint = `${packer.unpack} ${name} unpacks it`;
		throw new KlpemuError("FILE_COMPRESSED", "the file is compressed", { where: name, hint });
	}
	return { name, bytes };
}

/** The layout of the kernel that the module was made for, if there is one; else the newest of the package. */
async function layoutFor({ name, bytes }: InputFile, tell: (damaged: KlpemuError) => void): Promise<KernelLayout> {
	const [, release] = /\0vermagic=([^ \0]+)/.exec(`\0${new TextDecoder("latin1").decode(bytes)}`) ?? [];
	try {
		if (release !== undefined) return await kernelLayoutFor(release, name, tell);
	} catch (error) {
		// The structures of livepatch are the same in most kernels since 5.1.
		if (!(error instanceof KlpemuError && error.code === "KERNEL_LAYOUT")) throw error;
	}
	return usualLayout();
}

async function usualLayout(): Promise<KernelLayout> {
	const folder = join(PROJECT, "asm", "kernel-layouts");
	const names = (await readdir(folder)).filter((name) => name.endsWith(".json")).sort();
	const { name, bytes } = await input(join(folder, names.at(-1)!));
	return parseKernelLayout(new TextDecoder().decode(bytes), name);
}
