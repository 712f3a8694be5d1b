export function relocationName(type: number): string {
	return `R_X86_64_${type}`;
}
