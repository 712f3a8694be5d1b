/**
 * Fault injection (the kernel has lib/fault-inject.c): each place where the kernel may run out of something asks here whether it
 * has. `site` names the function that would fail, and for what. True: it fails.
 */
export type ShouldFail = (site: string) => boolean;

/** The machine's fault injection: every part of the kernel asks the same object. */
export class FaultInjection {
	/** May be replaced at any time. */
	should_fail: ShouldFail;

	/** By default nothing fails. */
	constructor(should_fail: ShouldFail = () => false) {
		this.should_fail = should_fail;
	}
}
