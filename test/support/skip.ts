/** Skips a test, and says why where people see it: a reporter shows at most that something was skipped. */
export function skipBecause(skip: (note?: string) => never, reason: string): never {
	process.stderr.write(`skipped: ${reason}\n`);
	return skip(reason);
}

/** Linux's own livepatch modules, compiled. */
export const KERNEL_MODULES = ".cache/kernel-modules";
export const NO_KERNEL_MODULES = `there is no ${KERNEL_MODULES}: npm run build:kernel-modules makes it of linux-source-6.12`;

/** Linux's own livepatch code, and its own livepatch modules as its own build makes them (.ko). */
export const KERNEL_CORE = ".cache/linux-6.12.klpcore";
export const KERNEL_KO = ".cache/kernel-ko";
/** The files of Linux's source that a core is made of, and livepatch.h. */
export const KERNEL_SOURCE = ".cache/linux-source-6.12";
export const NO_KERNEL_CORE = `there is no ${KERNEL_CORE}: npm run build:kernel-core makes it; it needs linux-source-6.12, linux-headers-6.12-cloud-amd64, make and patch`;
