import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		include: ["test/**/*.test.ts"],
		testTimeout: 60_000,
		pool: "forks",
		// The default leaves a core free: on two cores, half of the machine.
		maxWorkers: "100%",
		coverage: { include: ["src/**"], reporter: ["text-summary"] },
	},
});
