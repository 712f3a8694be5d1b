/** Writes the expected dmesg of the selftests' scenarios from the recorded files: `npx tsx test/golden/update.ts`. */
import { writeFileSync } from "node:fs";
import { recording, SELFTESTS, selftestTranscript } from "./load.js";

for (const script of SELFTESTS) {
	writeFileSync(`scenarios/selftests/test-${script}.dmesg`, selftestTranscript(recording(`selftest-${script}`)));
}
