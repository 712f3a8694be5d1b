import { readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { KlpemuError, printable } from "../../base/index.js";
import { readIfThere } from "../files.js";
import { runTool } from "../run-tool.js";

/** A kit that make has built. */
export interface BuiltKit {
	/** Unique in a machine; that of its folder. */
	readonly name: string;
	/** Absolute; kits that differ in their steps only can share one. */
	readonly folder: string;
	/** The script that makes the steps, a file in the folder. */
	readonly script: string;
	/** CPUs of the scenario. */
	readonly cpus: number;
	/** Parameters for the kernel. */
	readonly append: string;
}

/** A kernel image, and what modules for it are built against. */
export interface VmKernel {
	readonly image: string;
	readonly version: string;
	readonly headers: string;
}

const LIMITS = { cpuSeconds: 600, memoryKiB: 4 << 20, fileMiB: 1024, wallSeconds: 1800, outputBytes: 4 << 20 };

/** The kernel to boot: `image`, or the newest of /boot with headers. Throws `VM_KERNEL`. */
export async function findKernel(image: string | undefined, headers: string | undefined): Promise<VmKernel> {
	const images = image === undefined ? await imagesIn("/boot") : [resolve(image)];
	let without: string | undefined;
	for (const path of images) {
		const version = await versionOf(path);
		if (version === undefined)
			throw vmKernel(
				`'${path}' is no image of an x86 kernel (bzImage)`,
				"give arch/x86/boot/bzImage, or /boot/vmlinuz-*",
			);
		const folders = headers === undefined ? headersOf(version) : [resolve(headers)];
		for (const folder of folders) if (await hasMakefile(folder)) return { image: path, version, headers: folder };
		without ??= version;
	}
	if (headers !== undefined)
		throw vmKernel(
			`'${headers}' is no built kernel tree, and no package of headers`,
			"it has a Makefile, and Module.symvers",
		);
	if (without !== undefined) {
		throw vmKernel(
			`no headers of Linux ${without}`,
			"apt-get install -y linux-headers-6.12-cloud-amd64, or --headers DIR: the kernel's build folder",
		);
	}
	throw vmKernel(
		"there is no kernel in /boot",
		"apt-get install -y linux-image-6.12-cloud-amd64 linux-headers-6.12-cloud-amd64, or --kernel IMAGE",
	);
}

function vmKernel(message: string, hint: string): KlpemuError {
	return new KlpemuError("VM_KERNEL", message, { hint });
}

async function imagesIn(folder: string): Promise<string[]> {
	const names = await readdir(folder).catch(() => []);
	const images = names.filter((name) => name.startsWith("vmlinuz-"));
	return images.sort((a, b) => b.localeCompare(a, "en", { numeric: true })).map((name) => join(folder, name));
}

function headersOf(version: string): string[] {
	return [`/lib/modules/${version}/build`, `/usr/src/linux-headers-${version}`, `/usr/src/kernels/${version}`];
}

async function hasMakefile(folder: string): Promise<boolean> {
	return (await readIfThere(join(folder, "Makefile")).catch(() => undefined)) !== undefined;
}

/** The release in the header of a bzImage (Documentation/arch/x86/boot.rst, kernel_version). */
async function versionOf(path: string): Promise<string | undefined> {
	const bytes = await readIfThere(path);
	if (bytes === undefined)
		throw vmKernel(`there is no file '${path}'`, "--kernel takes an image such as /boot/vmlinuz-VERSION");
	const image = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
	if (image.length < 0x400 || image.toString("latin1", 0x202, 0x206) !== "HdrS") return undefined;
	const at = image.readUInt16LE(0x20e) + 0x200;
	const text = image.toString("latin1", at, at + 200);
	return text.slice(0, text.search(/[ \0]/));
}

/** Reads a kit's folder, and builds it for a kernel. Throws `VM_NO_KIT`, `VM_MAKE`. */
export async function buildKit(folder: string, kernel: VmKernel): Promise<BuiltKit> {
	const path = resolve(folder);
	const script = await readIfThere(join(path, "run.sh"));
	if (script === undefined) {
		throw new KlpemuError("VM_NO_KIT", `'${folder}' is no kit: it has no run.sh`, {
			hint: "klpemu kit FILE --out DIR writes one",
		});
	}
	const said = (key: string) => new RegExp(`^# ${key}: (.*)$`, "m").exec(new TextDecoder().decode(script))?.[1];
	const { MAKEFLAGS: _flags, MAKELEVEL: _level, ...env } = process.env;
	const command = ["make", "-C", path, `KDIR=${kernel.headers}`];
	const { status, stdout, stderr, exceeded } = await runTool(command, { cwd: path, env, limits: LIMITS });
	if (status !== 0) {
		const lines = printable(`${stdout}\n${stderr}`).trim().split("\n").slice(-40).join("\n");
		throw new KlpemuError(
			"VM_MAKE",
			`make fails in '${folder}'${exceeded === "time" ? " (time limit)" : ""}:\n${lines}`,
			{
				hint: `its log is above; the kernel is ${kernel.version}`,
			},
		);
	}
	return {
		name: basename(path),
		folder: path,
		script: "run.sh",
		cpus: Number(said("cpus") ?? 2),
		append: said("append") ?? "",
	};
}
