import * as v from "valibot";
import { text } from "../values.js";
import { step } from "./step.js";

export const test = step("test", {
	value: v.pipe(text, v.description("begins a test of a selftest script")),
	doc: { form: ["test: title"], does: "begins a test of a selftest script (with the key `selftest`)" },
	outside: true,
	read(raw, place) {
		if (!place.hasSelftest) {
			const hint = "add selftest: FILE, the transcript that it is compared with";
			throw place.key().error("SCENARIO_MISSING_KEY", "'test' needs the key 'selftest'", hint);
		}
		return { title: raw };
	},
	title: ({ title }) => `test: ${title}`,
	notExplored: () => ({ skips: "it only divides what is printed" }),
	logsBefore: ({ title }) => `===== TEST: ${title} =====`,
	// biome-ignore lint/correctness/useYield: nothing that another task could see
	*run({ title }, { beginTest }) {
		beginTest(title);
		return 0;
	},
});
