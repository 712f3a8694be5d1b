import { defineConfig } from "vitest/config";

/** The tests that mutants run against: KLPEMU_MUTATION_TESTS has their patterns, one a line (mutate.mjs). */
export default defineConfig({
	test: {
		include: (process.env.KLPEMU_MUTATION_TESTS ?? "test/**/*.test.ts").split("\n"),
		testTimeout: 300_000,
		hookTimeout: 300_000,
		pool: "threads",
		// Modules have no state of their own (test/tidy.test.ts), so that test files may share them: five times as fast.
		isolate: false,
	},
});
