import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		include: ["test/**/*.test.ts"],
		// They only end what hangs: each is many times what a slow, loaded machine needs.
		testTimeout: 300_000,
		hookTimeout: 300_000,
		expect: { poll: { timeout: 240_000 } },
		// No module of ours keeps state (test/tidy.test.ts), so that the files of one worker can share them: each import costs only once.
		isolate: false,
		// A thread shares its memory with the others, and each gcc that one starts copies the page tables of all.
		pool: "forks",
		// The default leaves a core free: on two cores, half of the machine.
		maxWorkers: "100%",
		coverage: {
			// .ci/run sets it, so that it need not run the tests twice; npm run coverage is the same without it.
			enabled: process.env.KLPEMU_COVERAGE !== undefined,
			include: ["src/**"],
			exclude: ["web/**"],
			reporter: ["text-summary"],
			// What runs in processes of its own counts as not covered: workers of a campaign over Redis, the command's first lines.
			thresholds: { lines: 95, branches: 90 },
		},
	},
});
