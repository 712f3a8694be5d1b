/**
 * A child process of mutate.mjs, in the sandbox: it runs chosen tests with one mutant switched on. All modules but the test files stay
 * loaded (they keep no state: test/tidy.test.ts); a test file is loaded anew each time. A static mutant, which takes effect while
 * a module loads, gets a child of its own that has it from the start: STATIC_MUTANT.
 */
import { pathToFileURL } from "node:url";
import { collect } from "vitest";

const { STATIC_MUTANT } = process.env;
globalThis.__stryker__ = { activeMutant: STATIC_MUTANT };
const stryker = globalThis.__stryker__;
let loads = 0;

/** A mutant that takes no effect outside of tests: loading and confirming go without. */
const activate = (mutant) => {
	if (STATIC_MUTANT === undefined) stryker.activeMutant = mutant;
};

async function runHooks(hooks, context, teardowns = []) {
	for (const hook of hooks) {
		const teardown = await hook(context);
		if (typeof teardown === "function") teardowns.unshift(teardown);
	}
}
const outerHooks = (suite, name) =>
	suite === undefined ? [] : [...outerHooks(suite.parent, name), ...suite.hooks[name]];

class Stop extends Error {}

async function runTest(suite, test, key, told) {
	const [began, teardowns, finished] = [process.cpuUsage(), [], []];
	let failure;
	stryker.currentTestId = key;
	const skip = () => {
		throw new Stop();
	};
	const context = { skip, onTestFinished: (call) => finished.push(call), task: { name: test.name } };
	try {
		await runHooks(outerHooks(suite, "beforeEach"), context, teardowns);
		await test.run(context);
	} catch (error) {
		if (!(error instanceof Stop)) failure = error;
	}
	try {
		await runHooks([...outerHooks(suite, "afterEach").reverse(), ...teardowns, ...finished], context);
	} catch (error) {
		failure ??= error;
	}
	stryker.currentTestId = undefined;
	const { user, system } = process.cpuUsage(began);
	await told({
		test: key,
		ms: (user + system) / 1000,
		failure: failure && String(failure.message ?? failure).slice(0, 300),
	});
	return failure === undefined;
}

const isTest = (child) => "run" in child;
const holds = (child, key, wanted) =>
	isTest(child) ? wanted(key) : child.children.some((inner, at) => holds(inner, `${key}/${at} ${inner.name}`, wanted));

/** Runs the wanted tests of a suite; false: one has failed, and `bail` stopped there. */
async function runSuite(suite, at, { wanted, told, bail }) {
	const [teardowns, name] = [[], (child, index) => `${at}/${index} ${child.name}`];
	const chosen = suite.children.map((child, index) => [child, name(child, index)]);
	const running = chosen.filter(([child, key]) => holds(child, key, wanted));
	if (running.length === 0) return true;
	let good = true;
	try {
		stryker.currentTestId = `${at}/`;
		await runHooks(suite.hooks.beforeAll, {}, teardowns);
		stryker.currentTestId = undefined;
		for (const [child, key] of running) {
			const options = { wanted, told, bail };
			const fine = isTest(child) ? await runTest(suite, child, key, told) : await runSuite(child, key, options);
			good &&= fine;
			if (!fine && bail) break;
		}
	} catch (error) {
		good = false;
		await told({ test: `${at}/`, ms: 0, failure: String(error.message ?? error).slice(0, 300) });
	}
	stryker.currentTestId = undefined;
	await runHooks([...suite.hooks.afterAll, ...teardowns], {}).catch(() => {});
	return good;
}

const say = (message) => new Promise((resolve) => process.send(message, resolve));

/** Loads a test file, and runs the wanted tests. */
async function runFile(file, { mutant, ...options }) {
	const url = pathToFileURL(file);
	url.search = `${loads++}`;
	const root = await collect(() => import(url.href));
	activate(mutant);
	try {
		return await runSuite(root, file, options);
	} finally {
		activate(undefined);
	}
}

/** All tests of a file without a mutant: how long each takes, and which mutants it reaches how often. */
async function measure({ file }) {
	// Every module keeps this object.
	stryker.mutantCoverage ??= {};
	Object.assign(stryker.mutantCoverage, { static: {}, perTest: {} });
	const tests = [];
	await runFile(file, { wanted: () => true, told: (result) => tests.push(result), bail: false });
	const { perTest, static: ofNone } = stryker.mutantCoverage;
	await say({ op: "measured", tests, perTest, ofNone });
}

/** Runs tests of a file with a mutant. A failure counts if the same test succeeds without the mutant afterwards. */
async function attempt({ file, tests, mutant, hitLimit }) {
	const names = new Set(tests);
	let failed;
	const told = async (result) => {
		if (result.failure !== undefined) failed ??= result;
		await say({ op: "alive" });
	};
	Object.assign(stryker, { hitCount: 0, hitLimit });
	const good = await runFile(file, { mutant, wanted: (key) => names.has(key), told, bail: true });
	if (good) return say({ op: "tried", killed: false });
	if (STATIC_MUTANT !== undefined) return say({ op: "tried", killed: true, failed });
	Object.assign(stryker, { hitCount: undefined });
	const again = await runFile(file, {
		wanted: (key) => (failed.test.endsWith("/") ? names.has(key) : key === failed.test),
		told: () => say({ op: "alive" }),
		bail: true,
	});
	await say({ op: "tried", killed: again, failed, spoiled: !again });
}

process.on("unhandledRejection", () => {});
process.on("uncaughtException", () => {});
process.on("message", (order) =>
	(order.op === "measure" ? measure(order) : attempt(order)).catch((error) =>
		say({ op: "broken", reason: String(error.stack ?? error).slice(0, 600) }),
	),
);
await say({ op: "ready" });
