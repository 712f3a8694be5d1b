import { EACCES, ENOENT, type Kernel, S_IFDIR } from "../lib/index.js";

/** An existing file or directory. Texts are whole files with their newlines. */
export interface OpenFile {
	/** Permission bits, and S_IFDIR for a directory. */
	readonly mode: number;
	/** The text, or a negative errno. */
	read(): Kernel<string | number>;
	/** 0 or a negative errno. */
	write(value: string): Kernel<number>;
}

/** One part of the file tree. Paths are absolute. */
export interface Mount {
	/** Files and directories, in order. */
	paths(): string[];
	/** Undefined: there is no such file in this part. */
	open(path: string): OpenFile | undefined;
}

/** Files whose paths are relative to where they are mounted. */
export interface FileTree {
	paths(): string[];
	/** Permission bits, and S_IFDIR for a directory; undefined: there is no such file. */
	mode(path: string): number | undefined;
	read(path: string): Kernel<string | number>;
	write(path: string, value: string): Kernel<number>;
}

/** Mounts a tree at a folder; without one its paths are absolute. */
export function mountAt(folder: string, tree: FileTree): Mount {
	return {
		paths: () => tree.paths().map((path) => folder + path),
		open(path) {
			if (!path.startsWith(folder)) return undefined;
			const rest = path.slice(folder.length);
			const mode = tree.mode(rest);
			if (mode === undefined) return undefined;
			return { mode, read: () => tree.read(rest), write: (value) => tree.write(rest, value) };
		},
	};
}

/**
 * Every file that a scenario can read or write: the files of livepatch, ftrace and modules in sysfs, procfs and /dev.
 */
export class Files {
	readonly #mounts: readonly Mount[];

	/** If several mounts have a file, the first mount is used. */
	constructor(mounts: readonly Mount[]) {
		this.#mounts = mounts;
	}

	/** All paths, in order. */
	paths(): string[] {
		return this.#mounts.flatMap((mount) => mount.paths());
	}

	/** `-rw-r--r--`, as stat --format %A prints it; undefined: there is no such file. */
	rights(path: string): string | undefined {
		const mode = this.#open(path)?.mode;
		if (mode === undefined) return undefined;
		const bits = [..."rwxrwxrwx"].map((letter, index) => (mode & (0o400 >> index) ? letter : "-"));
		return (mode & S_IFDIR ? "d" : "-") + bits.join("");
	}

	#open(path: string): OpenFile | undefined {
		for (const mount of this.#mounts) {
			const file = mount.open(path);
			if (file !== undefined) return file;
		}
		return undefined;
	}

	/** The text of a file, with its newline, or a negative errno. */
	*read(path: string): Kernel<string | number> {
		const file = this.#open(path);
		if (file === undefined) return -ENOENT;
		if ((file.mode & 0o444) === 0 || file.mode & S_IFDIR) return -EACCES;
		return yield* file.read();
	}

	/** Writes to a file: 0 or a negative errno. */
	*write(path: string, value: string): Kernel<number> {
		const file = this.#open(path);
		if (file === undefined) return -ENOENT;
		if ((file.mode & 0o222) === 0 || file.mode & S_IFDIR) return -EACCES;
		return yield* file.write(value);
	}
}
