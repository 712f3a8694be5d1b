/** What kernel code asks a design for, and the order of designs by what they have in common. */
import { describe, expect, test } from "vitest";
import { byLikeness, designs, findDesign } from "../../src/designs/index.js";
import { DesignAsks } from "../../src/explore/index.js";
import { bool, type Core, type Design, type klp_patch } from "../../src/linux/klp/index.js";

const replace = bool("replace", false, "");
const patch = { fields: { replace: true } } as unknown as klp_patch;
const klp = {} as Core;

/** What `asks` notes of `code`. */
function askedBy(design: Design, code: (design: Design) => void) {
	const asks = new DesignAsks(design);
	asks.begin();
	code(asks.design);
	return asks.asked;
}

describe("notes", () => {
	const mainline = findDesign("mainline");

	test("members, and their answers", () => {
		const { members, answers, fields } = askedBy(mainline, (design) => {
			design.addsNops(patch);
			design.forceMarks(patch, patch);
		});
		expect([...members.keys()]).toEqual(["addsNops", "forceMarks"]);
		expect([answers, fields]).toEqual(["addsNops=true,forceMarks=false", true]);
	});

	test("nothing, if it is asked for nothing or for what the handler takes", () => {
		const { members, answers, fields } = askedBy(mainline, (design) => void design.sees);
		expect([members.size, answers, fields]).toEqual([0, "", false]);
		expect(new DesignAsks(mainline).design.sees).toBe(mainline.sees);
	});

	test("a field that is read beside the answers: then they are those of no other design", () => {
		const read = () => void replace.of(patch);
		const answers = (design: Design) => askedBy(design, read).answers;
		expect(answers(mainline)).not.toBe(answers(findDesign("rfc-2025")));
		const generator = {
			...mainline,
			*init_transition() {
				read();
				yield "a point";
			},
		} as Design;
		const run = (design: Design) => void [...design.init_transition(klp, patch, 1)];
		expect(askedBy(generator, run).answers).toBe("fields of mainline");
		// The same generator function has the same answer under each design.
		const quiet = { funcs: () => [] } as unknown as klp_patch;
		const [one, other] = [mainline, findDesign("rfc-2025")].map((design) => {
			return askedBy(design, (asked) => void [...asked.init_transition(klp, quiet, 1)]).answers;
		});
		expect(one).toBe(other);
	});

	test("another design has the same members or not", () => {
		const { members } = askedBy(mainline, (design) => void design.supersedes(patch, patch));
		expect(new DesignAsks(findDesign("per-func-reject")).has(members)).toBe(true);
		expect(new DesignAsks(findDesign("rfc-2025")).has(members)).toBe(false);
	});
});

test("designs by what they have in common: mainline's variants beside it, universe last", () => {
	const names = byLikeness(designs).map(({ name }) => name);
	expect([...names].sort()).toEqual(designs.map(({ name }) => name).sort());
	expect(names.slice(0, 3)).toEqual(["mainline", "per-func-reject", "replace-tag-draft"]);
	expect(names.at(-1)).toBe("universe");
});
