/** A value that is made by its first use, for what most runs do not need. `make` depends on nothing that changes. */
export function once<T>(make: () => T): () => T {
	let made: { readonly value: T } | undefined;
	return () => {
		made ??= { value: make() };
		return made.value;
	};
}
