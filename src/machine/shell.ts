import type { ElfObject } from "../elf/index.js";
import type { Files } from "../linux/fs/index.js";
import type { Livepatch } from "../linux/klp/index.js";
import type { Kernel } from "../linux/lib/index.js";
import type { InsmodOptions, Loader } from "../linux/module/index.js";
import { type HostTasks, TASK_INTERRUPTIBLE, type task_struct } from "../linux/sched/index.js";
import type { Rounds } from "./rounds.js";

/** The administrator. Each action is a system call of the task `shell`, which runs it to its end, on CPU 0. */
export class Shell {
	readonly #rounds: Rounds;
	readonly #hostTasks: HostTasks;
	readonly #klp: Livepatch;
	readonly #loader: Loader;
	readonly #files: Files;

	constructor(rounds: Rounds, hostTasks: HostTasks, klp: Livepatch, loader: Loader, files: Files) {
		this.#rounds = rounds;
		this.#hostTasks = hostTasks;
		this.#klp = klp;
		this.#loader = loader;
		this.#files = files;
	}

	/** The administrator's process. */
	get task(): task_struct {
		return this.#hostTasks.shell;
	}

	/**
	 * Runs kernel code as a system call of the administrator's process, which then leaves the kernel. Throws `DEADLOCK`.
	 */
	run<T>(code: Kernel<T>): T {
		const klp = this.#klp;
		const { task } = this;
		function* systemCall(): Kernel<T> {
			const result = yield* code;
			yield* klp.klp_update_patch_state(task);
			return result;
		}
		return this.#rounds.runAs(task, TASK_INTERRUPTIBLE, systemCall());
	}

	/** Loads a module and runs its init, or enables the patch that `patchOf` makes. See {@link Loader.load_module}. */
	insmod(name: string, objects: readonly ElfObject[], options: InsmodOptions = {}): number {
		return this.run(this.#loader.load_module(name, objects, options));
	}

	/** Unloads a module: -ENOENT if there is none, -EAGAIN (-EWOULDBLOCK) while it is in use. */
	rmmod(name: string): number {
		return this.run(this.#loader.delete_module(name));
	}

	/** Writes to a file: 0 or a negative errno. */
	write(path: string, value: string): number {
		return this.run(this.#files.write(path, value));
	}

	/** The text of a file, or a negative errno. */
	read(path: string): string | number {
		return this.run(this.#files.read(path));
	}
}
