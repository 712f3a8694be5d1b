import { printable } from "./printable.js";

/**
 * Everything the user can do wrong ends in one of these: a stable `code`, where it happened, and what to do about it.
 * What the *kernel* would refuse is not an error here but a negative errno (see linux/lib/errno.ts).
 */
export class KlpemuError extends Error {
	/** Stable, machine-readable name of the fault, for example `ELF_TRUNCATED`. */
	readonly code: string;
	/** What is wrong, one sentence: the message without place and hint. */
	readonly reason: string;
	/** `file`, `file:line` or `file:line:column`, where there is one. */
	readonly where: string | undefined;
	/** What to do about it, one sentence. */
	readonly hint: string | undefined;

	constructor(code: string, reason: string, details: { where?: string; hint?: string; cause?: unknown } = {}) {
		const head = details.where === undefined ? reason : `${details.where}: ${reason}`;
		const message = details.hint === undefined ? head : `${head}\n  hint: ${details.hint}`;
		super(printable(message), details.cause === undefined ? undefined : { cause: details.cause });
		this.name = "KlpemuError";
		this.code = code;
		this.reason = reason;
		this.where = details.where;
		this.hint = details.hint;
	}

	/** `where: reason`, then the hint on a line of its own: what the CLI prints, and what `message` holds. Control characters are visible in it. */
	format(): string {
		return this.message;
	}
}
