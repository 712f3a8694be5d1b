/**
 * Fault injection (the kernel has lib/fault-inject.c): each place where the kernel may run out of something asks here whether it
 * has. `site` names the function that would fail, and for what. True: it fails.
 */
export type ShouldFail = (site: string) => boolean;
