import { expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";

test("a message holds place and hint, as format() does; reason is the sentence alone", () => {
	const error = new KlpemuError("CODE", "it is wrong", { where: "s.yaml:3:4", hint: "make it right" });
	expect(error.message).toBe("s.yaml:3:4: it is wrong\n  hint: make it right");
	expect([error.format(), error.reason]).toEqual([error.message, "it is wrong"]);
	expect(new KlpemuError("CODE", "it is wrong").message).toBe("it is wrong");
});
