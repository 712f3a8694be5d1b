import { printable } from "./printable.js";

/**
 * The error for each mistake of the user: a stable `code`, the place, and a hint. A call that the *kernel* would refuse
 * is not an error here: it returns a negative errno (see linux/lib/errno.ts).
 */
export class KlpemuError extends Error {
	/** Stable, machine-readable name of the fault, for example `ELF_TRUNCATED`. */
	readonly code: string;
	/** The mistake, in one sentence: the message without place and hint. */
	readonly reason: string;
	/** `file`, `file:line` or `file:line:column`, if there is a file. */
	readonly where: string | undefined;
	/** How to correct the mistake, in one sentence. */
	readonly hint: string | undefined;

	constructor(
		code: string,
		reason: string,
		details: { where?: string | undefined; hint?: string | undefined; cause?: unknown } = {},
	) {
		const head = details.where === undefined ? reason : `${details.where}: ${reason}`;
		const message = details.hint === undefined ? head : `${head}\n  hint: ${details.hint}`;
		super(printable(message), details.cause === undefined ? undefined : { cause: details.cause });
		this.name = "KlpemuError";
		this.code = code;
		this.reason = reason;
		this.where = details.where;
		this.hint = details.hint;
	}

	/**
	 * `where: reason`, then the hint on a line of its own. The CLI prints it, and `message` holds it. Control
	 * characters are shown as escapes.
	 */
	format(): string {
		return this.message;
	}
}
