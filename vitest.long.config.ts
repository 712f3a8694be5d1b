import { defineConfig } from "vitest/config";

/** npm run test:long: what takes minutes, and the tests of random inputs with many more of these. `.ci/run` runs it. */
export default defineConfig({
	test: {
		include: [
			"test/**/*.long.ts",
			"test/check/{agrees,fuzz}.test.ts",
			"test/conformance/{sequence,programs}.test.ts",
			"test/consistency/{schedules,trampoline}.test.ts",
			"test/elf/{damage,parse}.test.ts",
			"test/explore/{hybrid,loops,order}.test.ts",
			"test/fuzz/{objects,parsers}.test.ts",
			"test/golden/real-kernel.test.ts",
			"test/machine/{hostile-guest,snapshot}.test.ts",
			"test/cpu/jit/tiers.test.ts",
			"test/exec/{exec,fuzz}.test.ts",
			"test/linux/klp/random.test.ts",
			"test/linux/klp-c/agree.test.ts",
			"test/node/compare/compare.test.ts",
			"test/node/gdb/session.test.ts",
			"test/node/headers.test.ts",
			"test/scenario/{explore,kernel-objects}.test.ts",
			"test/tools/against-kernel.test.ts",
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
