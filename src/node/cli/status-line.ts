import type { Io } from "./command.js";

const CLEAR_LINE = "\r\x1b[K";

/** How far a long command is: a terminal overwrites the line, anywhere else each is a line of its own. */
export class StatusLine {
	readonly #stderr: Io["stderr"];

	constructor(stderr: Io["stderr"]) {
		this.#stderr = stderr;
	}

	show(text: string): void {
		this.#stderr.write(this.#stderr.isTTY ? `${CLEAR_LINE}${text}` : `${text}\n`);
	}

	clear(): void {
		if (this.#stderr.isTTY) this.#stderr.write(CLEAR_LINE);
	}
}
