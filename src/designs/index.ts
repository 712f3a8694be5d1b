import { KlpemuError } from "../base/index.js";
import type { Design } from "../linux/klp/index.js";
import { conflictReplace } from "./conflict-replace.js";
import { mainline } from "./mainline.js";
import { perFuncReject } from "./per-func-reject.js";
import { replaceSetV1 } from "./replace-set-v1.js";
import { replaceSetV2 } from "./replace-set-v2.js";
import { replaceTagDraft } from "./replace-tag-draft.js";
import { rfc2025 } from "./rfc-2025.js";
import { rfc2025NoNop } from "./rfc-2025-no-nop.js";
import { universe } from "./universe.js";

export { byLikeness } from "./likeness.js";

/** The registry: a new design is one file and one line here. */
export const designs: readonly Design[] = [
	mainline,
	rfc2025,
	rfc2025NoNop,
	conflictReplace,
	perFuncReject,
	replaceTagDraft,
	replaceSetV1,
	replaceSetV2,
	universe,
];

/** A design by name, or the given design itself. Throws `UNKNOWN_DESIGN` with the known names. */
export function findDesign(name: string | Design): Design {
	if (typeof name !== "string") return name;
	const design = designs.find((candidate) => candidate.name === name);
	if (design === undefined) {
		throw new KlpemuError("UNKNOWN_DESIGN", `there is no design '${name}'`, {
			hint: `designs: ${designs.map((candidate) => candidate.name).join(", ")}`,
		});
	}
	return design;
}
