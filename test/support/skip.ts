/** Skips a test, and says why where people see it: a reporter shows at most that something was skipped. */
export function skipBecause(skip: (note?: string) => never, reason: string): never {
	process.stderr.write(`skipped: ${reason}\n`);
	return skip(reason);
}
