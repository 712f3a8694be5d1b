import { describe, expect, test } from "vitest";
import { RCX, RFLAGS, RIP } from "../../src/cpu/index.js";
import { CODE } from "./case.js";
import { hexCase } from "./kinds.js";
import { hardwareRunner } from "./runners.js";

const hardware = hardwareRunner();

describe.skipIf(hardware === undefined)("the hardware's limit of a case is work, not time", () => {
	test("a loop without an end is found", async () => {
		const [outcome] = await hardwareRunner(1000, 10_000)!.run([hexCase("jmp to itself", "ebfe")]);
		expect([outcome!.kind, outcome!.state[RIP]]).toEqual(["budget", CODE]);
	});

	test("single steps change nothing that a case can see", async () => {
		const cases = [
			hexCase("pushf and popf, of 64 and 16 bits, in a loop", "9c9d669c669d9c9d9c9d48ffc975f1", { [RCX]: 1000n }),
			hexCase("rep stosb over the end of the data", "488d3c24f3aa", { [RCX]: 1000n }),
		];
		const steady = await hardware!.run(cases);
		expect(steady.map(({ kind }) => kind)).toEqual(["breakpoint", "page-fault"]);
		expect(await hardwareRunner(0)!.run(cases)).toEqual(steady);
	});
});

// Some hypervisors clear NT where they interrupt a program: there, some of so many runs end in another way.
test.skipIf(hardware === undefined)(
	"an interrupt in the middle of a case changes nothing of what the hardware says",
	async () => {
		const nested = hexCase("popf, pushf, with NT", "9d9c", {}, 0x4202n);
		const [first, ...others] = await hardware!.run(Array.from({ length: 20_000 }, () => nested));
		expect(others.filter(({ state, changes }) => state[RFLAGS] !== first!.state[RFLAGS] || changes.length > 0)).toEqual(
			[],
		);
	},
);
