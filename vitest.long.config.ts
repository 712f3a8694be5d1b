import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** vitest begins with the largest files. Those that take minutes are not large, and the last one would run alone. */
class LongFirst extends BaseSequencer {
	override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
		const sorted = await super.sort(files);
		const isLong = ({ moduleId }: TestSpecification) => moduleId.endsWith(".long.ts");
		return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
	}
}

/** npm run test:long: what takes minutes, and the tests of random inputs with many more of these. `.ci/run` runs it. */
export default defineConfig({
	test: {
		include: [
			"test/**/*.long.ts",
			"test/bench/suites.test.ts",
			"test/check/{agrees,fuzz}.test.ts",
			"test/conformance/{data-flow,sequence,programs,table}.test.ts",
			"test/consistency/{schedules,trampoline}.test.ts",
			"test/elf/{damage,parse}.test.ts",
			"test/explore/{guest-code,helpers,hybrid,loops,order,reduction,task-words,tracers}.test.ts",
			"test/explore/search/table.test.ts",
			"test/fuzz/{objects,parsers}.test.ts",
			"test/golden/real-kernel.test.ts",
			"test/machine/{hostile-guest,snapshot}.test.ts",
			"test/cpu/jit/tiers.test.ts",
			"test/exec/{exec,fuzz}.test.ts",
			"test/linux/klp/{injection,random}.test.ts",
			"test/linux/klp-c/{agree,explore}.test.ts",
			"test/node/cli/selftest-core.test.ts",
			"test/node/compare/compare.test.ts",
			"test/node/gcc.test.ts",
			"test/node/gdb/session.test.ts",
			"test/node/headers.test.ts",
			"test/scenario/{bad,explore,kernel-objects,selftest}.test.ts",
			"test/tools/against-kernel.test.ts",
		],
		env: {
			KLPEMU_LONG: "1",
			KLPEMU_SEQUENCES: "1500",
			KLPEMU_PROGRAMS: "20",
			KLPEMU_FUZZ: "10000",
			KLPEMU_RANDOM_RUNS: "200",
		},
		// They only end what hangs: each is many times what a slow, loaded machine needs.
		testTimeout: 1_800_000,
		hookTimeout: 1_800_000,
		expect: { poll: { timeout: 180_000 } },
		sequence: { sequencer: LongFirst },
		pool: "forks",
		// The default leaves a core free: on two cores, half of the machine.
		maxWorkers: "100%",
	},
});
