import { ERRNO } from "../../linux/lib/index.js";

/** The messages of glibc, by errno. */
export const STRERROR: Readonly<Record<number, string>> = {
	[ERRNO.EPERM]: "Operation not permitted",
	[ERRNO.ENOENT]: "No such file or directory",
	[ERRNO.ESRCH]: "No such process",
	[ERRNO.EINTR]: "Interrupted system call",
	[ERRNO.EIO]: "Input/output error",
	[ERRNO.ENXIO]: "No such device or address",
	[ERRNO.E2BIG]: "Argument list too long",
	[ERRNO.ENOEXEC]: "Exec format error",
	[ERRNO.EBADF]: "Bad file descriptor",
	[ERRNO.ECHILD]: "No child processes",
	[ERRNO.EAGAIN]: "Resource temporarily unavailable",
	[ERRNO.ENOMEM]: "Cannot allocate memory",
	[ERRNO.EACCES]: "Permission denied",
	[ERRNO.EFAULT]: "Bad address",
	[ERRNO.ENOTBLK]: "Block device required",
	[ERRNO.EBUSY]: "Device or resource busy",
	[ERRNO.EEXIST]: "File exists",
	[ERRNO.EXDEV]: "Invalid cross-device link",
	[ERRNO.ENODEV]: "No such device",
	[ERRNO.ENOTDIR]: "Not a directory",
	[ERRNO.EISDIR]: "Is a directory",
	[ERRNO.EINVAL]: "Invalid argument",
	[ERRNO.ENFILE]: "Too many open files in system",
	[ERRNO.EMFILE]: "Too many open files",
	[ERRNO.ENOTTY]: "Inappropriate ioctl for device",
	[ERRNO.ETXTBSY]: "Text file busy",
	[ERRNO.EFBIG]: "File too large",
	[ERRNO.ENOSPC]: "No space left on device",
	[ERRNO.ESPIPE]: "Illegal seek",
	[ERRNO.EROFS]: "Read-only file system",
	[ERRNO.EMLINK]: "Too many links",
	[ERRNO.EPIPE]: "Broken pipe",
	[ERRNO.EDOM]: "Numerical argument out of domain",
	[ERRNO.ERANGE]: "Numerical result out of range",
	[ERRNO.EDEADLK]: "Resource deadlock avoided",
	[ERRNO.ENAMETOOLONG]: "File name too long",
	[ERRNO.ENOLCK]: "No locks available",
	[ERRNO.ENOSYS]: "Function not implemented",
	[ERRNO.ENOTEMPTY]: "Directory not empty",
	[ERRNO.ELOOP]: "Too many levels of symbolic links",
	[ERRNO.ENODATA]: "No data available",
	[ERRNO.ETIME]: "Timer expired",
	[ERRNO.EPROTO]: "Protocol error",
	[ERRNO.EOVERFLOW]: "Value too large for defined data type",
	[ERRNO.EOPNOTSUPP]: "Operation not supported",
	[ERRNO.EADDRINUSE]: "Address already in use",
	[ERRNO.ETIMEDOUT]: "Connection timed out",
	[ERRNO.EALREADY]: "Operation already in progress",
	[ERRNO.EINPROGRESS]: "Operation now in progress",
	[ERRNO.ESTALE]: "Stale file handle",
	[ERRNO.ECANCELED]: "Operation canceled",
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
