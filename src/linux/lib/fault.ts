/**
 * Fault injection (lib/fault-inject.c in the kernel): each place where the kernel may run out of a resource calls this.
 * `site` names the function that would fail, and the purpose. True: it fails.
 */
export type ShouldFail = (site: string) => boolean;

/** The machine's fault injection: every part of the kernel uses the same object. */
export class FaultInjection {
	/** May be replaced at any time. */
	should_fail: ShouldFail;

	/** The default: no call fails. */
	constructor(should_fail: ShouldFail = () => false) {
		this.should_fail = should_fail;
	}
}
