import { expect, test } from "vitest";
import { Profile } from "../../../../src/cpu/jit/tier2/index.js";
import { toU64 } from "../../../../src/memory/index.js";

const JUMP = -0x7f000000;
const [A, B] = [-0x7e000000, -0x7d000000];

function seen(target: number, times: number): Profile {
	const profile = new Profile();
	for (let n = 0; n < times; n++) profile.went(JUMP, target);
	return profile;
}

test("where a jump goes now counts more than where it went", () => {
	const profile = seen(A, 100);
	expect(profile.merge(seen(A, 100))).toBe(false);
	expect(profile.merge(seen(B, 60))).toBe(true);
	expect(profile.targets(toU64(JUMP))).toEqual([toU64(B), toU64(A)]);
	expect(profile.merge(seen(B, 60))).toBe(false);
	// Back again: nothing that was not known, but another order.
	expect(profile.merge(seen(A, 60))).toBe(true);
	expect(profile.targets(toU64(JUMP))[0]).toBe(toU64(A));
});
