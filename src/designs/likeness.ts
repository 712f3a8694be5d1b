import type { Design } from "../linux/klp/index.js";

/** Members that describe a design, and decide nothing. */
const DESCRIBE: readonly string[] = ["name", "title", "source", "fields", "funcFields", "foreign", "attributes"];

/** Designs in an order in which those with much code in common are near each other: by how much they differ from the first. */
export function byLikeness(designs: readonly Design[]): Design[] {
	const first = designs[0]!;
	const differences = (design: Design) => {
		const names = new Set([...Object.keys(first), ...Object.keys(design)]);
		return [...names].filter((name) => !DESCRIBE.includes(name) && memberOf(design, name) !== memberOf(first, name))
			.length;
	};
	return [...designs].sort((a, b) => differences(a) - differences(b));
}

function memberOf(design: Design, name: string): unknown {
	return Reflect.get(design, name);
}
