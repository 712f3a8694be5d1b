import { CPUID } from "../cpu/index.js";

/** Words of x86_capability[] that are registers of cpuid (enum cpuid_leafs, arch/x86/include/asm/cpufeature.h): leaf and column. */
const WORDS: ReadonlyMap<number, readonly [leaf: number, column: number]> = new Map([
	[0, [1, 4]],
	[1, [0x80000001, 4]],
	[4, [1, 3]],
	[6, [0x80000001, 3]],
]);

/**
 * Features that Linux makes up, and that this processor has, by number (arch/x86/include/asm/cpufeatures.h). All others are absent:
 * those of mitigations (nothing here guesses), of hypervisors (Xen, KVM), of slow processors.
 */
const SYNTHETIC: ReadonlyMap<number, string> = new Map([
	[3 * 32 + 20, "NOPL"],
	[3 * 32 + 21, "ALWAYS"],
]);

/** jit has it, and no model of Unicorn: code calls __sw_hweight64() instead, on both. */
const X86_FEATURE_POPCNT = 4 * 32 + 23;

/** boot_cpu_has() of the emulated processor, for X86_FEATURE_* and X86_BUG_*. */
export function boot_cpu_has(feature: number): boolean {
	if (SYNTHETIC.has(feature)) return true;
	if (feature === X86_FEATURE_POPCNT) return false;
	const [leaf, column] = WORDS.get(feature >> 5) ?? [];
	const row = CPUID.find(([number]) => number === leaf);
	return row !== undefined && column !== undefined && ((row[column] ?? 0) & (1 << (feature & 31))) !== 0;
}
