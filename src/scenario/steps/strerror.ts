import { ERRNO } from "../../linux/lib/index.js";

/** The messages of glibc and kmod for the errnos that livepatch and the module loader return. */
const STRERROR: Readonly<Record<number, string>> = {
	[ERRNO.EPERM]: "Operation not permitted",
	[ERRNO.ENOENT]: "No such file or directory",
	[ERRNO.EAGAIN]: "Resource temporarily unavailable",
	[ERRNO.ENOMEM]: "Cannot allocate memory",
	[ERRNO.EACCES]: "Permission denied",
	[ERRNO.EBUSY]: "Device or resource busy",
	[ERRNO.EEXIST]: "File exists",
	[ERRNO.ENODEV]: "No such device",
	[ERRNO.EINVAL]: "Invalid argument",
};
/** Errnos for which insmod has its own message. */
const INSMOD_STRERROR: Readonly<Record<number, string>> = {
	[ERRNO.ENOENT]: "Unknown symbol in module",
	[ERRNO.EINVAL]: "Invalid parameters",
};

/** `errno` is negative, as the kernel returns it. */
export function strerror(errno: number): string {
	return STRERROR[-errno] ?? `Unknown error ${-errno}`;
}

export function insmodStrerror(errno: number): string {
	return INSMOD_STRERROR[-errno] ?? strerror(errno);
}
