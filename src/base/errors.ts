/**
 * Everything the user can do wrong ends in one of these: a stable `code`, where it happened, and what to do about it.
 * What the *kernel* would refuse is not an error here but a negative errno (see linux/lib/errno.ts).
 */
export class KlpemuError extends Error {
	/** Stable, machine-readable name of what went wrong, for example `ELF_TRUNCATED`. */
	readonly code: string;
	/** `file`, `file:line` or `file:line:column`, where there is one. */
	readonly where: string | undefined;
	/** What to do about it, one sentence. */
	readonly hint: string | undefined;

	constructor(code: string, message: string, details: { where?: string; hint?: string; cause?: unknown } = {}) {
		super(message, details.cause === undefined ? undefined : { cause: details.cause });
		this.name = "KlpemuError";
		this.code = code;
		this.where = details.where;
		this.hint = details.hint;
	}

	/** `where: message`, then the hint on a line of its own: what the CLI prints. */
	format(): string {
		const head = this.where === undefined ? this.message : `${this.where}: ${this.message}`;
		return this.hint === undefined ? head : `${head}\n  hint: ${this.hint}`;
	}
}
