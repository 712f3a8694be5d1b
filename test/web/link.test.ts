import { expect, test } from "vitest";
import { FIRST, linkOf, packed, readLink, type Shown, unpacked } from "../../web/src/page/link.js";

test("a link holds all that is shown, own texts too", async () => {
	const shown: Shown = {
		scenario: "scenarios/own.yaml",
		text: "title: ä → &#x; <b>\nsteps: []\n",
		design: "universe",
		beside: "",
		schedule: "klpemu schedule 1\nmoves:\n",
		at: 17,
		task: "worker/0",
	};
	const link = await linkOf(shown);
	expect(link).toMatch(/^[\w=&./%-]+$/);
	expect(await readLink(`#${link}`)).toEqual(shown);
	const two = { ...shown, beside: "klpemu schedule 1\ndesign: universe\nmoves:\n" };
	expect(await readLink(`#${await linkOf(two)}`)).toEqual(two);
	expect(await readLink("")).toEqual(FIRST);
	expect(await readLink("#anything")).toEqual(FIRST);
});

test.each([
	"#scenario=x&at=-1",
	"#scenario=x&at=1e9",
	"#scenario=x&text=!",
	"#scenario=x&moves=AAAA",
	"#scenario=x&besideMoves=AAAA",
	"#scenario=x&at=9999999999",
])("%s is damaged, and says so", async (hash) => {
	await expect(readLink(hash)).rejects.toThrow("the link is damaged");
});

test("a text that unpacks to much more than it should is refused", async () => {
	const bomb = await packed("x".repeat(1_000_000));
	expect(bomb.length).toBeLessThan(5_000);
	await expect(unpacked(bomb)).rejects.toThrow();
	expect(await unpacked(await packed("x".repeat(99_000)))).toHaveLength(99_000);
});
