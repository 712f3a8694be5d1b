/** Behind the name of a function that gcc or clang has changed: `.constprop.0`, `.isra.0.part.1`, `.cold`. */
const SUFFIX = /^(?:\.(?:constprop|isra|part|cold|lto_priv|llvm|localalias)(?:\.\d+)?)+$/;

/** The names under which a compiler has made other functions of one: `tax.constprop.0`, `tax.part.0`, ... */
function clonesOf(name: string, names: Iterable<string>): string[] {
	return [...names].filter((other) => other.startsWith(`${name}.`) && SUFFIX.test(other.slice(name.length)));
}

/** What to do about a function of which there are only clones; undefined: there are none. */
export function cloneHint(name: string, names: Iterable<string>): string | undefined {
	const clones = clonesOf(name, names);
	if (clones.length === 0) return undefined;
	return (
		`gcc has made ${clones.join(", ")} of '${name}', for the arguments of its callers or of a part of it: ` +
		`mark ${name} __attribute__((noinline, noclone)), so that it stays one function under its own name`
	);
}
