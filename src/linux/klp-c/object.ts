import * as v from "valibot";
import { Hash, KlpemuError, once } from "../../base/index.js";
import { type ElfObject, type ElfSection, parseElf } from "../../elf/index.js";
import { KernelLayout } from "../lib/index.js";

/** The section of a kernel core file with {@link KernelCoreInfo}, as JSON. */
export const INFO_SECTION = ".klpemu.info";
/** The section with the layout: an array of `struct { char name[56]; u64 value; }`. */
export const LAYOUT_SECTION = ".klpemu.layout";
/** The version of both sections, and of layout files. */
export const CORE_FORMAT = 1;

const NAME_BYTES = 56;
const ENTRY_BYTES = NAME_BYTES + 8;

const Config = v.record(v.string(), v.string());

// Made when a core is read: most runs read none.
const coreInfo = once(() => {
	const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
	return v.object({
		format: v.literal(CORE_FORMAT),
		/** UTS_RELEASE of the headers. */
		release: v.string(),
		/** Options of the kernel's configuration that change the core or what is around it, with their values; unset ones are left out. */
		config: Config,
		/** The first line of `gcc --version`. */
		compiler: v.string(),
		/** SHA-256 of each compiled file after patching, by its path in the kernel; klpemu/ is asm/kernel-env. */
		sources: v.record(v.string(), sha256),
		/** In the order in which they were applied. `files`: those that they change in the core. */
		patches: v.array(v.object({ name: v.string(), sha256, files: v.array(v.string()) })),
	});
});

/** What a kernel core file was made of. */
export type KernelCoreInfo = v.InferOutput<ReturnType<typeof coreInfo>>;

const layoutFile = once(() =>
	v.object({
		format: v.literal(CORE_FORMAT),
		release: v.string(),
		config: Config,
		compiler: v.string(),
		entries: v.record(v.string(), v.pipe(v.number(), v.integer())),
	}),
);

/** A kernel's layout without its core, as asm/kernel-layouts/ has them. */
export type KernelLayoutFile = v.InferOutput<ReturnType<typeof layoutFile>>;

/** A kernel core file (`klpemu kernel build`), parsed and not yet linked. */
export interface KernelCore {
	readonly info: KernelCoreInfo;
	readonly layout: KernelLayout;
	readonly object: ElfObject;
	/** Of all bytes of the file. */
	readonly hash: () => string;
}

/** Reads a kernel core file. Throws `CORE_FORMAT`, and the errors of parseElf. */
export function parseKernelCore(bytes: Uint8Array, fileName: string): KernelCore {
	const object = parseObject(bytes, fileName);
	const section = (name: string): ElfSection => {
		const found = object.sections.find((candidate) => candidate.name === name);
		if (found !== undefined) return found;
		throw badCore(fileName, `no kernel core: it has no section '${name}'`);
	};
	const text = new TextDecoder().decode(section(INFO_SECTION).data);
	const info = check(coreInfo(), text, fileName, INFO_SECTION);
	const layout = new KernelLayout(info.release, readEntries(section(LAYOUT_SECTION), fileName));
	return { info, layout, object, hash: once(() => hashOf(bytes)) };
}

function hashOf(bytes: Uint8Array): string {
	const hash = new Hash();
	for (const byte of bytes) hash.addInt(byte);
	return hash.digest();
}

function parseObject(bytes: Uint8Array, fileName: string): ElfObject {
	try {
		return parseElf(bytes, fileName);
	} catch (error) {
		if (!(error instanceof KlpemuError) || error.code !== "ELF_NOT_ELF") throw error;
		const hint = "a kernel core is what klpemu kernel build makes";
		throw new KlpemuError(error.code, error.reason, { where: fileName, hint, cause: error });
	}
}

/** Reads a layout file. Throws `CORE_FORMAT`. */
export function parseKernelLayout(text: string, fileName: string): KernelLayout {
	const { release, entries } = check(layoutFile(), text, fileName, "the file");
	const numbers = Object.entries(entries).map(([name, value]): [string, bigint] => [name, BigInt(value)]);
	return new KernelLayout(release, new Map(numbers));
}

/** The layout file for a core. */
export function layoutFileOf({ info, layout }: KernelCore): KernelLayoutFile {
	const { format, release, config, compiler } = info;
	const entries = Object.fromEntries([...layout.entries.keys()].map((name) => [name, layout.constant(name)]));
	return { format, release, config, compiler, entries };
}

function badCore(fileName: string, reason: string, cause?: unknown): KlpemuError {
	return new KlpemuError("CORE_FORMAT", reason, {
		where: fileName,
		hint: "klpemu kernel build makes such a file",
		cause,
	});
}

function check<Schema extends v.GenericSchema>(
	schema: Schema,
	text: string,
	fileName: string,
	what: string,
): v.InferOutput<Schema> {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (cause) {
		throw badCore(fileName, `${what} is not JSON`, cause);
	}
	const format = (value as { format?: unknown } | null)?.format;
	if (typeof format === "number" && format !== CORE_FORMAT) {
		throw badCore(fileName, `made in format ${format}; this klpemu reads format ${CORE_FORMAT}`);
	}
	const result = v.safeParse(schema, value);
	if (result.success) return result.output;
	const [issue] = result.issues;
	throw badCore(fileName, `${what}: ${v.getDotPath(issue) ?? "value"}: ${issue.message}`);
}

function readEntries({ name: section, data }: ElfSection, fileName: string): ReadonlyMap<string, bigint> {
	if (data.length % ENTRY_BYTES !== 0) throw badCore(fileName, `section '${section}' does not hold whole entries`);
	const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
	const entries = new Map<string, bigint>();
	for (let at = 0; at < data.length; at += ENTRY_BYTES) {
		const bytes = data.subarray(at, at + NAME_BYTES);
		const end = bytes.indexOf(0);
		if (end <= 0) throw badCore(fileName, `section '${section}': the entry at 0x${at.toString(16)} has no name`);
		const name = new TextDecoder("latin1").decode(bytes.subarray(0, end));
		if (entries.has(name)) throw badCore(fileName, `section '${section}' has '${name}' twice`);
		entries.set(name, view.getBigUint64(at + NAME_BYTES, true));
	}
	return entries;
}
