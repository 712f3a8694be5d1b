import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { release as runningRelease } from "node:os";
import { join, resolve } from "node:path";
import { KlpemuError } from "../../base/index.js";

/** Where kernels are installed; tests have their own. */
export interface Places {
	/** Debian's linux-source-* and linux-headers-*. */
	readonly usrSrc: string;
	/** /lib/modules: RELEASE/build are the headers, RELEASE/source the source. */
	readonly modules: string;
	/** uname -r */
	readonly running: string;
}

export const PLACES: Places = { usrSrc: "/usr/src", modules: "/lib/modules", running: runningRelease() };

/** A prepared kernel tree, or the headers of a packaged kernel: what external modules are built against. */
export interface Headers {
	readonly folder: string;
	/** UTS_RELEASE: `6.12.117+deb12-cloud-amd64` */
	readonly release: string;
	/** `6.12.117` */
	readonly version: string;
	/** Set options of the configuration with their values, in the order of the file. */
	readonly config: ReadonlyMap<string, string>;
}

const INSTALL =
	"apt-get install -y linux-source-6.12 linux-headers-6.12-cloud-amd64, or --headers DIR: a built or prepared kernel tree";

async function readOrNothing(path: string): Promise<string> {
	return readFile(path, "utf8").catch(() => "");
}

/** The headers in a folder. Throws `HEADERS_MISSING`, `HEADERS_UNFIT`. */
export async function readHeaders(given: string): Promise<Headers> {
	const folder = await realpath(resolve(given)).catch(() => undefined);
	if (folder === undefined)
		throw new KlpemuError("HEADERS_MISSING", `there is no folder '${given}'`, { hint: INSTALL });
	const unfit = (reason: string, hint: string) => new KlpemuError("HEADERS_UNFIT", reason, { where: folder, hint });
	const [uts, version, auto] = await Promise.all([
		readOrNothing(join(folder, "include/generated/utsrelease.h")),
		readOrNothing(join(folder, "include/generated/uapi/linux/version.h")),
		readOrNothing(join(folder, "include/config/auto.conf")),
	]);
	const release = /^#define UTS_RELEASE "(.+)"$/m.exec(uts)?.[1];
	const numbers = ["MAJOR", "PATCHLEVEL", "SUBLEVEL"].map(
		(part) => new RegExp(`^#define LINUX_VERSION_${part} (\\d+)$`, "m").exec(version)?.[1],
	);
	if (release === undefined || numbers.includes(undefined) || auto === "") {
		throw unfit(
			"not the headers of a kernel that modules can be built against",
			`make modules_prepare in the tree; ${INSTALL}`,
		);
	}
	const config = new Map([...auto.matchAll(/^(CONFIG_\w+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]));
	if (config.get("CONFIG_X86_64") !== "y") throw unfit(`Linux ${release} is not for x86-64`, INSTALL);
	if (config.get("CONFIG_LIVEPATCH") !== "y") {
		throw unfit(`Linux ${release} is configured without CONFIG_LIVEPATCH`, INSTALL);
	}
	if (/[\s:%]/.test(folder)) {
		throw unfit("the kernel's build takes no path with a space, colon or percent sign", "move or rename the folder");
	}
	return { folder, release, version: numbers.join("."), config };
}

/** A source of Linux, unpacked or packed. */
export interface Source {
	readonly path: string;
	readonly packed: boolean;
}

/** Debian's linux-source-6.12.tar.xz; the first group is the series. */
const TARBALL = /^linux-source-(\d+\.\d+)\.tar(?:\.(?:xz|gz|bz2|zst))?$/;

/** The source that the user names. Throws `SOURCE_MISSING`. */
export async function givenSource(path: string): Promise<Source> {
	const found = await stat(path).catch(() => undefined);
	if (found === undefined) throw new KlpemuError("SOURCE_MISSING", `there is no '${path}'`, { hint: INSTALL });
	return { path: resolve(path), packed: !found.isDirectory() };
}

/** The source that belongs to these headers. Throws `SOURCE_MISSING`. */
export async function sourceFor(headers: Headers, places: Places): Promise<Source> {
	const series = headers.version.split(".").slice(0, 2).join(".");
	const folders = [
		headers.folder,
		join(places.modules, headers.release, "source"),
		join(places.usrSrc, `linux-source-${series}`),
	];
	for (const path of folders) {
		const found = await stat(join(path, "kernel/livepatch/core.c")).catch(() => undefined);
		if (found !== undefined) return { path, packed: false };
	}
	const tarballs = (await list(places.usrSrc)).filter((name) => TARBALL.exec(name)?.[1] === series);
	if (tarballs[0] !== undefined) return { path: join(places.usrSrc, tarballs[0]), packed: true };
	throw new KlpemuError("SOURCE_MISSING", `there is no source of Linux ${headers.version} for ${headers.folder}`, {
		hint: `apt-get install -y linux-source-${series}, or --source TREE|TARBALL`,
	});
}

/** Headers that are installed: of a kernel whose source is installed too, of the running kernel. Throws `HEADERS_MISSING`. */
export async function installedHeaders(places: Places): Promise<Headers> {
	const names = await list(places.usrSrc);
	const series = names.flatMap((name) => TARBALL.exec(name)?.[1] ?? []);
	const packaged = names.filter((name) => series.some((part) => name.startsWith(`linux-headers-${part}.`)));
	const candidates = [
		...packaged.map((name) => join(places.usrSrc, name)),
		join(places.modules, places.running, "build"),
	];
	const refused: string[] = [];
	for (const folder of candidates) {
		try {
			return await readHeaders(folder);
		} catch (error) {
			if (!(error instanceof KlpemuError)) throw error;
			refused.push(`${folder}: ${error.reason}`);
		}
	}
	throw new KlpemuError("HEADERS_MISSING", `no headers of a kernel are installed:\n${refused.join("\n")}`, {
		hint: INSTALL,
	});
}

/** Names in a folder, newest version first; empty if there is no such folder. */
async function list(folder: string): Promise<string[]> {
	const names = await readdir(folder).catch(() => []);
	return names.sort(new Intl.Collator("en", { numeric: true }).compare).reverse();
}
