import { existsSync, type FSWatcher, watch } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import type { Host } from "../../scenario/index.js";

/** Editors write a file in several steps: a run begins when nothing has changed for this long. */
const QUIET_MS = 100;

/**
 * Runs again each time that a file changes which a run has read, until `signal` aborts. Returns the status of the last run. `run` tells
 * `reads` of each file before it reads it. A run that is under way when a file changes ends first. Folders are watched, not files: an
 * editor may put a new file in the place of the old one.
 */
export async function runAndWatch(
	run: (reads: (file: string) => void) => Promise<number>,
	signal: AbortSignal,
	quiet = QUIET_MS,
): Promise<number> {
	const changes = new Changes(quiet);
	try {
		for (;;) {
			const status = await run((file) => changes.watch(file));
			if (!(await changes.next(signal))) return status;
		}
	} finally {
		changes.close();
	}
}

class Changes {
	readonly #quiet: number;
	readonly #watchers = new Map<string, FSWatcher>();
	/** By folder: the names in it that count. */
	readonly #names = new Map<string, Set<string>>();
	#timer: NodeJS.Timeout | undefined = undefined;
	#changed = false;
	#tell: () => void = () => {};

	constructor(quiet: number) {
		this.#quiet = quiet;
	}

	/** From now on, changes of this file count too, also if it is made only later. */
	watch(file: string): void {
		const folder = dirname(resolve(file));
		const names = this.#names.get(folder) ?? new Set();
		this.#names.set(folder, names.add(basename(file)));
		if (this.#watchers.has(folder) || !existsSync(folder)) return;
		const watcher = watch(folder, (_event, name) => this.#seen(folder, name));
		// A folder that is removed: its files cannot change any more.
		watcher.on("error", () => watcher.close());
		this.#watchers.set(folder, watcher);
	}

	#seen(folder: string, name: string | null): void {
		// A header beside a source may be one that the source includes.
		if (name !== null && !this.#names.get(folder)!.has(name) && !name.endsWith(".h")) return;
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => {
			this.#changed = true;
			this.#tell();
		}, this.#quiet);
	}

	/** Resolves at the next change: true; or when `signal` aborts: false. */
	async next(signal: AbortSignal): Promise<boolean> {
		await new Promise<void>((done) => {
			this.#tell = done;
			if (this.#changed || signal.aborted) done();
			signal.addEventListener("abort", () => done(), { once: true });
		});
		this.#changed = false;
		return !signal.aborted;
	}

	close(): void {
		clearTimeout(this.#timer);
		for (const watcher of this.#watchers.values()) watcher.close();
	}
}

/** A host that tells `reads` of each file that it is asked for. */
export function tellingReads(host: Host, reads: (file: string) => void): Host {
	const tell = (path: string) => host.files.candidates(path).forEach(reads);
	return {
		...host,
		files: {
			candidates: (path) => host.files.candidates(path),
			async find(path) {
				tell(path);
				return host.files.find(path);
			},
			async read(path) {
				tell(path);
				return host.files.read(path);
			},
		},
	};
}
