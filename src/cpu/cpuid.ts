/**
 * Leaves of cpuid: [leaf, eax, ebx, ecx, edx]; others are zero. They announce only features that the opcode table has. Vendor:
 * "klpemu-x86  ".
 */
export const CPUID: readonly (readonly [leaf: number, eax: number, ebx: number, ecx: number, edx: number])[] = [
	[0, 1, 0x65706c6b, 0x20203638, 0x782d756d],
	// ecx: cmpxchg16b, sse4.2's crc32, movbe, popcnt; edx: tsc, cmpxchg8b, cmov.
	[1, 0x600, 0, (1 << 13) | (1 << 20) | (1 << 22) | (1 << 23), (1 << 4) | (1 << 8) | (1 << 15)],
	[0x80000000, 0x80000001, 0, 0, 0],
	// ecx: lahf, lzcnt; edx: rdtscp, long mode.
	[0x80000001, 0, 0, (1 << 0) | (1 << 5), (1 << 27) | (1 << 29)],
];
