import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { KlpemuError } from "../../base/index.js";
import { CORE_FORMAT, INFO_SECTION, type KernelCoreInfo, LAYOUT_SECTION } from "../../linux/klp-c/index.js";
import { PROJECT } from "../project.js";
import { sha256 } from "../sha256.js";
import { withTemporaryFolder } from "../temporary.js";
import { fitLayout } from "./fields.js";
import {
	givenSource,
	type Headers,
	installedHeaders,
	PLACES,
	type Places,
	readHeaders,
	type Source,
	sourceFor,
} from "./headers.js";
import { applyPatch, type Patch, readPatch } from "./patches.js";
import { make, mustRun } from "./tools.js";
import { LIVEPATCH, OTHERS, unpack } from "./unpack.js";

/** What a kernel core is made of; what is not given is looked for. */
export interface KernelBuildOptions {
	readonly source?: string | undefined;
	readonly headers?: string | undefined;
	/** Unified diffs, applied in this order. */
	readonly patches?: readonly string[];
	/** See {@link applyPatch}; default: 0. */
	readonly fuzz?: number | undefined;
	readonly places?: Places;
}

export interface BuiltKernel {
	/** The kernel core file. */
	readonly bytes: Uint8Array;
	readonly info: KernelCoreInfo;
	readonly source: Source;
	readonly headers: Headers;
	/** What the user should know: inexact hunks, parts of a patch that are left out, warnings of the compiler. */
	readonly notices: readonly string[];
}

/** C and assembly of ours, compiled with the kernel's. */
const ENVIRONMENT = join(PROJECT, "asm", "kernel-env");

/** Options of the configuration that change the core, or what the machine must be to it. */
const CONFIG =
	/^CONFIG_(LIVEPATCH|SMP|NR_CPUS|HZ|PREEMPT\w*|UNWINDER_ORC|FRAME_POINTER|X86_KERNEL_IBT|CFI_CLANG|MITIGATION_(RETPOLINE|RETHUNK|CALL_DEPTH_TRACKING)|(CALL_DEPTH_TRACKING|RETPOLINE|RETHUNK)|CALL_PADDING|STACKPROTECTOR\w*|JUMP_LABEL|HAVE_STATIC_CALL_INLINE|DYNAMIC_DEBUG|DYNAMIC_FTRACE\w*|FUNCTION_ALIGNMENT|LIST_HARDENED|DEBUG_LIST|BUG_ON_DATA_CORRUPTION|DEBUG_SPINLOCK|LOCKDEP|KASAN|MODVERSIONS|RANDOMIZE_BASE|RANDSTRUCT\w*|FORTIFY_SOURCE)$/;

/**
 * Compiles the kernel's livepatch code, as it is or with patches, by the kernel's own build. Takes seconds. Throws the errors of
 * finding (`HEADERS_*`, `SOURCE_*`), patching (`PATCH_*`) and compiling (`KBUILD_FAILED`, `TOOL_*`).
 */
export async function buildKernelCore(options: KernelBuildOptions): Promise<BuiltKernel> {
	const places = options.places ?? PLACES;
	const patches = await Promise.all((options.patches ?? []).map(readPatch));
	const headers = await (options.headers === undefined ? installedHeaders(places) : readHeaders(options.headers));
	const source = await (options.source === undefined ? sourceFor(headers, places) : givenSource(options.source));
	return withTemporaryFolder(async (folder) => {
		if (/[\s:%]/.test(folder)) {
			throw new KlpemuError("KBUILD_FAILED", "the kernel's build takes no path with a space, colon or percent sign", {
				where: folder,
				hint: "set TMPDIR to another folder",
			});
		}
		const old = patches.flatMap(({ files }) => files.filter(({ isNew }) => !isNew).map(({ path }) => path));
		await unpack(source, headers, old, folder);
		return { ...(await buildIn(folder, headers, patches, options.fuzz)), source, headers };
	});
}

/**
 * Patches, compiles and links what {@link unpack} has put into `folder`. Of a folder that it has compiled before, make compiles only what has
 * changed since, and what includes it; headers that are new in the folder are not seen then. Throws as {@link buildKernelCore}.
 */
export async function buildIn(
	folder: string,
	headers: Headers,
	patches: readonly Patch[],
	fuzz?: number,
): Promise<Pick<BuiltKernel, "bytes" | "info" | "notices">> {
	const notices: string[] = [];
	for (const patch of patches) notices.push(...(await applyPatch(patch, folder, fuzz)), ...leftOut(patch));
	// make goes by the times of files.
	const copy = { recursive: true, preserveTimestamps: true };
	await cp(ENVIRONMENT, join(folder, "klpemu"), copy);
	await cp(join(ENVIRONMENT, "Kbuild"), join(folder, "Kbuild"), copy);
	await fitLayout(folder);
	notices.push(...(await compileAll(folder, headers)));
	const info = await infoOf(folder, headers, patches);
	return { bytes: await linkAll(folder, info), info, notices };
}

/** A file is compiled into the core, or a header. */
function belongs(path: string): boolean {
	if (isKconfig(path)) return false;
	return (
		path.startsWith(`${LIVEPATCH}/`) ||
		OTHERS.some((other) => other === path) ||
		/^(arch\/x86\/)?include\/.*\.h$/.test(path)
	);
}

/** The headers have their configuration: an option that a patch adds is in none of them. */
const isKconfig = (path: string) => /(^|\/)Kconfig[^/]*$/.test(path);

function leftOut({ name, files }: Patch): string[] {
	return files
		.filter(({ path }) => !belongs(path))
		.map(({ path }) =>
			isKconfig(path)
				? `${name}: ${path} is not read: options that this part of the patch adds are not set`
				: `${name}: ${path} is not compiled into the core: this part of the patch has no effect`,
		);
}

/** Runs Kbuild. Returns its warnings. */
function compileAll(folder: string, headers: Headers): Promise<string[]> {
	// Without the kernel's debug information: Kbuild asks for the lines alone.
	const variables = [`M=${folder}`, "CONFIG_DEBUG_INFO=", "CONFIG_DEBUG_INFO_BTF="];
	return make(folder, headers.folder, variables, ["livepatch.o", "klpemu.o"]);
}

async function infoOf(folder: string, headers: Headers, patches: readonly Patch[]): Promise<KernelCoreInfo> {
	const names = await readdir(folder, { recursive: true });
	const ours = (name: string) => name.startsWith("klpemu/");
	const compiled = names.filter((name) => /\.[chS]$/.test(name) && (belongs(name) || ours(name))).sort();
	const sources: Record<string, string> = {};
	for (const name of compiled) sources[name] = sha256(await readFile(join(folder, name)));
	return {
		format: CORE_FORMAT,
		release: headers.release,
		config: Object.fromEntries([...headers.config].filter(([name]) => CONFIG.test(name)).sort()),
		compiler: await compilerOf(folder),
		sources,
		patches: patches.map(({ name, sha256, files }) => ({
			name,
			sha256,
			files: files.map(({ path }) => path).filter(belongs),
		})),
	};
}

/** What gcc has written into `.comment`: the compiler that was really used. */
async function compilerOf(folder: string): Promise<string> {
	const file = join(folder, "klpemu.comment");
	await mustRun(folder, [
		"objcopy",
		"-O",
		"binary",
		"--only-section=.comment",
		"--set-section-flags",
		".comment=alloc",
		"livepatch.o",
		file,
	]);
	const [first] = (await readFile(file, "latin1")).split("\0").filter((text) => text !== "");
	return first?.replace(/^GCC: /, "gcc ") ?? "unknown";
}

/** One relocatable object of all, without what only builds need, with the info. */
async function linkAll(folder: string, info: KernelCoreInfo): Promise<Uint8Array> {
	await writeFile(join(folder, "klpemu.info"), `${JSON.stringify(info, null, "\t")}\n`);
	await mustRun(folder, [
		"ld",
		"-r",
		"--build-id=none",
		"-z",
		"noexecstack",
		"-o",
		"core.o",
		"livepatch.o",
		"klpemu.o",
	]);
	const useless = [
		".comment",
		".modinfo",
		".note.*",
		".export_symbol",
		".discard.*",
		".rela.export_symbol",
		".rela.discard.*",
	];
	const command = [
		...[
			"objcopy",
			"--strip-debug",
			...[".debug_line", ".debug_line_str", ".rela.debug_line"].flatMap((name) => ["--keep-section", name]),
		],
		...useless.flatMap((name) => ["--remove-section", name]),
		...["--set-section-flags", `${LAYOUT_SECTION}=contents,readonly`],
		...["--add-section", `${INFO_SECTION}=klpemu.info`, "core.o", "file.o"],
	] as [string, ...string[]];
	await mustRun(folder, command);
	return readFile(join(folder, "file.o"));
}
