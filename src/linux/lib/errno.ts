/** The errnos that livepatch, ftrace and the module loader return (include/uapi/asm-generic/errno*.h). */
export const ERRNO = {
	EPERM: 1,
	ENOENT: 2,
	EINTR: 4,
	EIO: 5,
	E2BIG: 7,
	ENOEXEC: 8,
	EAGAIN: 11,
	ENOMEM: 12,
	EACCES: 13,
	EBUSY: 16,
	EEXIST: 17,
	ENODEV: 19,
	EINVAL: 22,
	ENOSYS: 38,
	EADDRINUSE: 98,
	ERESTARTSYS: 512,
} as const;

export const {
	EPERM,
	ENOENT,
	EINTR,
	EIO,
	E2BIG,
	ENOEXEC,
	EAGAIN,
	ENOMEM,
	EACCES,
	EBUSY,
	EEXIST,
	ENODEV,
	EINVAL,
	ENOSYS,
	EADDRINUSE,
} = ERRNO;

/** `-EBUSY` for -16; the bare number if it has no name here. */
export function errnoName(errno: number): string {
	const name = Object.entries(ERRNO).find(([, value]) => value === -errno)?.[0];
	return name === undefined ? String(errno) : `-${name}`;
}
