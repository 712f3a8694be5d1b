import { defineConfig } from "vitest/config";

/** npm run test:long: what takes minutes, and the tests of random inputs with many more of these. `.ci/run` runs it. */
export default defineConfig({
	test: {
		include: [
			"test/**/*.long.ts",
			"test/conformance/{sequence,programs}.test.ts",
			"test/consistency/schedules.test.ts",
			"test/elf/damage.test.ts",
			"test/fuzz/parsers.test.ts",
			"test/golden/real-kernel.test.ts",
			"test/machine/snapshot.test.ts",
			"test/cpu/jit/tiers.test.ts",
			"test/exec/fuzz.test.ts",
			"test/linux/klp/random.test.ts",
			"test/node/gdb/session.test.ts",
		],
		env: {
			KLPEMU_LONG: "1",
			KLPEMU_SEQUENCES: "1500",
			KLPEMU_PROGRAMS: "20",
			KLPEMU_FUZZ: "20000",
			KLPEMU_RANDOM_RUNS: "300",
		},
		testTimeout: 600_000,
		hookTimeout: 600_000,
		// What a browser shows on a loaded machine.
		expect: { poll: { timeout: 240_000 } },
		pool: "forks",
		// The default leaves a core free: on two cores, half of the machine.
		maxWorkers: "100%",
	},
});
