import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		include: ["test/**/*.test.ts"],
		testTimeout: 60_000,
		pool: "forks",
		coverage: { include: ["src/**"], reporter: ["text-summary"] },
	},
});
