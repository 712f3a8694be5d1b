import { copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { KlpemuError } from "../../base/index.js";
import type { Headers, Source } from "./headers.js";
import { shown, tool } from "./tools.js";

/** The kernel's livepatch code. */
export const LIVEPATCH = "kernel/livepatch";
/** Other files of the kernel in a core, compiled as they are. */
export const OTHERS = ["arch/x86/kernel/ftrace_64.S", "lib/list_debug.c"] as const;
/** What {@link unpack} takes of a source: files and folders. */
export const CORE_FILES = ["Makefile", LIVEPATCH, ...OTHERS] as const;

const HINT = "--source TREE|TARBALL: a source of Linux";

/**
 * Copies the files of the core, and others by their paths, from a source into `folder`. A file that is not there is left out; one that
 * the core needs must be. Throws `SOURCE_UNFIT`, `SOURCE_RELEASE`.
 */
export async function unpack(
	source: Source,
	headers: Headers,
	others: readonly string[],
	folder: string,
): Promise<void> {
	const wanted = [...new Set([...CORE_FILES, ...others])];
	// tar waits for ever for a pipe that nobody writes to.
	if (source.packed && !(await stat(source.path)).isFile()) {
		throw new KlpemuError("SOURCE_UNFIT", "neither a folder nor a regular file", { where: source.path, hint: HINT });
	}
	await (source.packed ? fromTarball(source.path, wanted, folder) : fromTree(source.path, wanted, folder));
	const unfit = (reason: string) => new KlpemuError("SOURCE_UNFIT", reason, { where: source.path, hint: HINT });
	const version = versionOf(await readFile(join(folder, "Makefile"), "utf8").catch(() => ""));
	if (version === undefined) throw unfit("no source of Linux: it has no Makefile with VERSION, PATCHLEVEL, SUBLEVEL");
	if (version !== headers.version) {
		throw new KlpemuError("SOURCE_RELEASE", `the source is Linux ${version}, the headers are of ${headers.release}`, {
			where: source.path,
			hint: `give the source of ${headers.version} with --source, or headers of ${version} with --headers`,
		});
	}
	for (const path of [`${LIVEPATCH}/core.c`, ...OTHERS]) {
		if (!(await stat(join(folder, path)).catch(() => undefined))) throw unfit(`the source has no ${path}`);
	}
}

/** `6.12.117`, of the top Makefile. */
function versionOf(makefile: string): string | undefined {
	const parts = ["VERSION", "PATCHLEVEL", "SUBLEVEL"].map(
		(name) => new RegExp(`^${name} *= *(\\d+)$`, "m").exec(makefile)?.[1],
	);
	return parts.includes(undefined) ? undefined : parts.join(".");
}

async function fromTarball(path: string, wanted: readonly string[], folder: string): Promise<void> {
	// The first part of the members' names differs: linux-source-6.12/, linux-6.12.117/. From a file: no name is an option.
	const members = join(folder, "klpemu.members");
	await writeFile(members, wanted.map((member) => `*/${member.replace(/[[\]*?\\]/g, "\\$&")}\n`).join(""));
	const options = ["--strip-components=1", "--wildcards", "--no-wildcards-match-slash", "--anchored", "--force-local"];
	const command = [
		"tar",
		...options,
		"--no-same-owner",
		"-xf",
		path,
		"-C",
		folder,
		"--verbatim-files-from",
		"-T",
		members,
	] as const;
	const { status, stderr } = await tool(folder, command);
	const said = stderr.split("\n").filter((line) => !/Not found in archive|previous errors/.test(line));
	if (status === 0 || (status === 2 && said.join("").trim() === "")) return;
	const reason = shown(folder, said.join("\n"));
	throw new KlpemuError("SOURCE_UNFIT", `tar does not read it: exit status ${status}\n${reason}`.trim(), {
		where: path,
		hint: "--source TREE|TARBALL: a source of Linux; apt-get install -y xz-utils for .tar.xz; TMPDIR needs 10 MB",
	});
}

async function fromTree(tree: string, wanted: readonly string[], folder: string): Promise<void> {
	for (const path of wanted) {
		const found = await stat(join(tree, path)).catch(() => undefined);
		if (found === undefined) continue;
		// Not built objects, which make would take for its own.
		const names = found.isDirectory()
			? (await readdir(join(tree, path))).filter((name) => /^Makefile$|\.[chS]$/.test(name))
			: [""];
		for (const name of names) {
			const file = join(path, name);
			await mkdir(join(folder, dirname(file)), { recursive: true });
			await copyFile(join(tree, file), join(folder, file));
		}
	}
}
