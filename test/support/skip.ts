/** Skips a test, and says why where people see it: a reporter shows at most that something was skipped. */
export function skipBecause(skip: (note?: string) => never, reason: string): never {
	process.stderr.write(`skipped: ${reason}\n`);
	return skip(reason);
}

/** Linux's own livepatch modules, compiled. */
export const KERNEL_MODULES = ".cache/kernel-modules";
export const NO_KERNEL_MODULES = `there is no ${KERNEL_MODULES}: npm run build:kernel-modules makes it of linux-source-6.12`;
