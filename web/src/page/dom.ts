/** Elements, made without markup: no text of a scenario is ever read as HTML. */

type Value = string | number | boolean | undefined | ((event: never) => void);
export type Child = Node | string | undefined;

/** Attributes by name; a function is a listener, a boolean an attribute that is there or not. */
export type Attributes = Readonly<Record<string, Value>>;

function fill(element: Element, attributes: Attributes, children: readonly Child[]): void {
	for (const [name, value] of Object.entries(attributes)) {
		if (value === undefined || value === false) continue;
		if (typeof value === "function") element.addEventListener(name, value as (event: Event) => void);
		else element.setAttribute(name, value === true ? "" : String(value));
	}
	element.append(...children.filter((child) => child !== undefined));
}

/** An HTML element. */
export function h<K extends keyof HTMLElementTagNameMap>(
	tag: K,
	attributes: Attributes = {},
	...children: readonly Child[]
): HTMLElementTagNameMap[K] {
	const element = document.createElement(tag);
	fill(element, attributes, children);
	return element;
}

/** An SVG element. */
export function s<K extends keyof SVGElementTagNameMap>(
	tag: K,
	attributes: Attributes = {},
	...children: readonly Child[]
): SVGElementTagNameMap[K] {
	const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
	fill(element, attributes, children);
	return element;
}

/** An element of index.html. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
	const element = document.getElementById(id);
	if (element === null) throw new Error(`index.html has no #${id}`);
	return element as T;
}

/** A list of choices; `chosen` gets the value. */
export function choice(
	label: string,
	options: readonly { readonly value: string; readonly text: string }[],
	value: string,
	chosen: (value: string) => void,
): HTMLLabelElement {
	const select = h(
		"select",
		{ change: () => chosen(select.value) },
		...options.map((option) => h("option", { value: option.value, selected: option.value === value }, option.text)),
	);
	return h("label", { class: "choice" }, h("span", {}, label), select);
}
