export { type AreaLayout, GuestAreas } from "./areas.js";
export * from "./errno.js";
export { FaultInjection, type ShouldFail } from "./fault.js";
export { format } from "./format.js";
export { type FormatSource, vaList } from "./format-source.js";
export { Icache } from "./icache.js";
export { Kallsyms } from "./kallsyms.js";
export * from "./kernel-code.js";
export { KernelLayout } from "./kernel-layout.js";
export { list_add, list_add_tail, list_del, list_del_rcu, list_empty, list_head, list_is_singular } from "./list.js";
export { Observers, type PointObserver, visitor } from "./observers.js";
export { Dmesg, KERN, Printer, type PrintkRecord } from "./printk.js";
export { vsscanf } from "./scan.js";

/** The bit of a file's mode that says it is a directory (include/uapi/linux/stat.h). */
export const S_IFDIR = 0o40000;
