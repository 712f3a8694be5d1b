/**
 * What the tests import as "vitest" while mutants run: it keeps the tests of a file as data, so that runner.mjs can run some of them as
 * often as it likes in one process. `expect` is Vitest's own. What is missing here makes a test fail without a mutant,
 * and such a test is left out, with a word.
 */
import { readFileSync } from "node:fs";
import {
	ASYMMETRIC_MATCHERS_OBJECT,
	chai,
	getState,
	JestAsymmetricMatchers,
	JestChaiExpect,
	JestExtend,
	setState,
} from "@vitest/expect";
import { format, plugins } from "@vitest/pretty-format";
import { fn, restoreAllMocks, spyOn } from "@vitest/spy";

const newSuite = (name, parent) => ({
	name,
	parent,
	children: [],
	hooks: { beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] },
});
let current = newSuite("");

/** The tests of the file that `load` imports. */
export async function collect(load) {
	const root = newSuite("");
	current = root;
	await load();
	return root;
}

const NOTHING = () => {};
const bodyOf = (rest) => rest.find((one) => typeof one === "function");
function addTest(name, ...rest) {
	current.children.push({ name: String(name), run: bodyOf(rest) });
}
function addSuite(name, ...rest) {
	const [outer, suite] = [current, newSuite(String(name), current)];
	outer.children.push(suite);
	current = suite;
	bodyOf(rest)();
	current = outer;
}

/** The rows of each`a | b ${1} | ${2}`, or of each([1, 2]). */
function rowsOf(table, values) {
	if (!("raw" in table)) return table;
	const keys = table[0].trim().split("\n")[0].split("|");
	const names = keys.map((key) => key.trim());
	const rows = [];
	for (let at = 0; at < values.length; at += names.length)
		rows.push(Object.fromEntries(names.map((name, column) => [name, values[at + column]])));
	return rows;
}
function withForms(add) {
	const some = (condition) => (condition ? form : none);
	const each =
		(spread) =>
		(table, ...values) =>
		(name, ...rest) => {
			const body = bodyOf(rest);
			for (const row of rowsOf(table, values)) {
				const given = spread && Array.isArray(row) ? row : [row];
				const said = given.map((one) => (typeof one === "object" && one !== null ? "" : String(one))).join(", ");
				add(`${name} (${said})`, (...more) => body(...given, ...more));
			}
		};
	const form = Object.assign((...all) => add(...all), {
		each: each(true),
		for: each(false),
		skipIf: (condition) => some(!condition),
		runIf: some,
		skip: NOTHING,
		todo: NOTHING,
	});
	const none = Object.assign(() => {}, {
		each: () => NOTHING,
		for: () => NOTHING,
		skipIf: () => none,
		runIf: () => none,
	});
	return form;
}
export const test = withForms(addTest);
export const it = test;
export const describe = withForms(addSuite);
const hook = (name) => (run) => current.hooks[name].push(run);
export const beforeAll = hook("beforeAll");
export const afterAll = hook("afterAll");
export const beforeEach = hook("beforeEach");
export const afterEach = hook("afterEach");

for (const plugin of [JestExtend, JestChaiExpect, JestAsymmetricMatchers]) chai.use(plugin);
export const expect = Object.assign((value, message) => chai.expect(value, message), chai.expect);
Object.assign(expect, globalThis[ASYMMETRIC_MATCHERS_OBJECT], {
	getState: () => getState(expect),
	extend: (matchers) => chai.expect.extend(expect, matchers),
});
setState({ assertionCalls: 0, isExpectingAssertions: false, expectedAssertionsNumber: null }, expect);

const shown = (value) =>
	format(value, {
		escapeString: false,
		printBasicPrototype: false,
		printFunctionName: false,
		plugins: [plugins.DOMElement, plugins.ReactElement, plugins.AsymmetricMatcher],
	});
/** Inline snapshots stand indented in the test. */
const unindented = (text) => {
	const lines = text.trim().split("\n");
	return lines.map((line) => line.trim()).join("\n");
};
chai.use((_, { addMethod }) => {
	addMethod(chai.Assertion.prototype, "toMatchInlineSnapshot", function toMatchInlineSnapshot(inline) {
		chai.expect(unindented(shown(this._obj))).toBe(unindented(inline));
	});
	addMethod(chai.Assertion.prototype, "toMatchFileSnapshot", async function toMatchFileSnapshot(path) {
		chai.expect(String(this._obj)).toBe(readFileSync(path, "utf8"));
	});
});

const stubbed = new Map();
export const vi = {
	fn,
	spyOn,
	restoreAllMocks,
	stubEnv(name, value) {
		if (!stubbed.has(name)) stubbed.set(name, process.env[name]);
		process.env[name] = value;
	},
	unstubAllEnvs() {
		for (const [name, value] of stubbed) {
			if (value === undefined) delete process.env[name];
			else process.env[name] = value;
		}
		stubbed.clear();
	},
};
