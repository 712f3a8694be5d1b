/** What people read of the designs: names, titles, sources, keys, and why a key of another design is refused or not read. */
import { expect, test } from "vitest";
import { designs, findDesign } from "../../src/designs/index.js";
import { createTestMachine } from "../support/machine.js";

const rows = designs.map(({ name, title, source }) => `${name}: ${title} (${source})`);
const keys = designs.map(({ name, fields, foreign }) => ({
	name,
	own: fields.map((field) => field.name),
	foreign,
}));

test("an unknown one: the names that there are", () => {
	const hint = `designs: ${designs.map(({ name }) => name).join(", ")}`;
	expect(() => findDesign("nope")).toThrow(expect.objectContaining({ code: "UNKNOWN_DESIGN", hint }));
	expect(findDesign(designs[1]!.name)).toBe(designs[1]);
	expect(findDesign(designs[1]!)).toBe(designs[1]);
});

test("name, title, source", () => {
	expect(rows).toMatchInlineSnapshot(`
		[
		  "mainline: Linux 6.12: atomic replace of everything, or stacking (kernel/livepatch of Linux 6.12)",
		  "rfc-2025: RFC "hybrid mode": only patches marked replaceable are replaced (live-patching list, RFC of 27 Jan 2025 (the same code again in the RFC of 2 Apr 2026))",
		  "rfc-2025-no-nop: the RFC, without nops for functions that a patch which stays also has (https://lore.kernel.org/live-patching/Z5eYzcF5JLR4o5Yl@pathway.suse.cz)",
		  "conflict-replace: a patch replaces those that it shares a function with (Petr Mladek, live-patching list, 7 Feb 2025)",
		  "per-func-reject: a load is refused when it touches a function that its owner did not mark replaceable (Song Liu, live-patching list, 3 Apr 2026)",
		  "replace-tag-draft: \`replace\` is a number: patches with the same one replace each other (Yafang Shao, live-patching list, 7 Apr 2026)",
		  "replace-set-v1: RFC "replace_set": patches of the same set replace each other (live-patching list, RFC of 13 May 2026)",
		  "replace-set-v2: PATCH v2 "replace_set": as v1, and sets must not overlap (live-patching list, PATCH v2 of 29 May 2026 (v3 of 7 Jun 2026 has the same rules))",
		  "universe: klpemu's proposal: every func_stack entry is visible in the old universe, the new one, or both (klpemu, after Petr Mladek, https://lore.kernel.org/live-patching/Z5eYzcF5JLR4o5Yl@pathway.suse.cz)",
		]
	`);
});

test("their keys, and those of others", () => {
	expect(keys).toMatchInlineSnapshot(`
		[
		  {
		    "foreign": {
		      "funcs.replaceable": {
		        "unread": "with \`replace\` a patch takes the place of all others, whatever they say",
		      },
		      "replace_set": {
		        "write": "replace",
		      },
		      "replaceable": {
		        "unread": "with \`replace\` a patch takes the place of all others, whatever they say",
		      },
		    },
		    "name": "mainline",
		    "own": [
		      "replace",
		    ],
		  },
		  {
		    "foreign": {
		      "funcs.replaceable": {
		        "write": "replaceable",
		      },
		      "replace_set": {
		        "write": "replace",
		      },
		    },
		    "name": "rfc-2025",
		    "own": [
		      "replace",
		      "replaceable",
		    ],
		  },
		  {
		    "foreign": {
		      "funcs.replaceable": {
		        "write": "replaceable",
		      },
		      "replace_set": {
		        "write": "replace",
		      },
		    },
		    "name": "rfc-2025-no-nop",
		    "own": [
		      "replace",
		      "replaceable",
		    ],
		  },
		  {
		    "foreign": {
		      "funcs.replaceable": {
		        "unread": "a patch replaces those that it shares a function with, always",
		      },
		      "replace": {
		        "unread": "a patch replaces those that it shares a function with, always",
		      },
		      "replace_set": {
		        "unread": "a patch replaces those that it shares a function with, always",
		      },
		      "replaceable": {
		        "unread": "a patch replaces those that it shares a function with, always",
		      },
		    },
		    "name": "conflict-replace",
		    "own": [],
		  },
		  {
		    "foreign": {
		      "replace_set": {
		        "write": "replace",
		      },
		      "replaceable": {
		        "write": "funcs.replaceable",
		      },
		    },
		    "name": "per-func-reject",
		    "own": [
		      "replace",
		    ],
		  },
		  {
		    "foreign": {
		      "funcs.replaceable": {
		        "write": "replace",
		      },
		      "replace_set": {
		        "write": "replace",
		      },
		      "replaceable": {
		        "write": "replace",
		      },
		    },
		    "name": "replace-tag-draft",
		    "own": [
		      "replace",
		    ],
		  },
		  {
		    "foreign": {
		      "funcs.replaceable": {
		        "write": "replace_set",
		      },
		      "replace": {
		        "write": "replace_set",
		      },
		      "replaceable": {
		        "write": "replace_set",
		      },
		    },
		    "name": "replace-set-v1",
		    "own": [
		      "replace_set",
		    ],
		  },
		  {
		    "foreign": {
		      "funcs.replaceable": {
		        "write": "replace_set",
		      },
		      "replace": {
		        "write": "replace_set",
		      },
		      "replaceable": {
		        "write": "replace_set",
		      },
		    },
		    "name": "replace-set-v2",
		    "own": [
		      "replace_set",
		    ],
		  },
		  {
		    "foreign": {
		      "funcs.replaceable": {
		        "write": "replaceable",
		      },
		      "replace_set": {
		        "write": "replace",
		      },
		    },
		    "name": "universe",
		    "own": [
		      "replace",
		      "replaceable",
		    ],
		  },
		]
	`);
});

test("the attributes of a patch that says nothing, and what may be written to them", async () => {
	const EACCES = -13;
	const read = await Promise.all(
		designs.map(async ({ name, attributes }) => {
			const machine = await createTestMachine({ design: name });
			expect(machine.patch("lp1", ["funcA", "lp1_funcA"])).toBe(0);
			machine.settle();
			const found = Object.entries(attributes).map(([attribute, { store }]) => {
				const before = machine.klp.sysfs.read(`lp1/${attribute}`);
				if (store === undefined) expect(machine.echo("1", `lp1/${attribute}`)).toBe(EACCES);
				return `${attribute}: ${before}${store === undefined ? "" : ", writable"}`;
			});
			machine.close();
			return [name, ...found];
		}),
	);
	expect(read).toMatchInlineSnapshot(`
		[
		  [
		    "mainline",
		    "replace: 0",
		  ],
		  [
		    "rfc-2025",
		    "replace: 0",
		    "replaceable: 0, writable",
		  ],
		  [
		    "rfc-2025-no-nop",
		    "replace: 0",
		    "replaceable: 0, writable",
		  ],
		  [
		    "conflict-replace",
		  ],
		  [
		    "per-func-reject",
		    "replace: 0",
		  ],
		  [
		    "replace-tag-draft",
		    "replace: 0",
		  ],
		  [
		    "replace-set-v1",
		    "replace_set: 0",
		  ],
		  [
		    "replace-set-v2",
		    "replace_set: 0",
		  ],
		  [
		    "universe",
		    "replace: 0",
		    "replaceable: 1",
		  ],
		]
	`);
});
