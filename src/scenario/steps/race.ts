import * as v from "valibot";
import { expected } from "../values.js";
import { type AnyStep, Outside, readStep, step, type stepsSchema } from "./step.js";

/** The step `race`; `racing`: the definitions of the steps that may stand in it, and their schema. */
export function raceOf<D extends AnyStep>(racing: readonly D[], schema: ReturnType<typeof stepsSchema>) {
	const list = v.pipe(v.array(schema), v.nonEmpty(), expected("a list of steps"));
	return step("race", {
		value: v.pipe(
			v.array(list),
			v.minLength(2),
			expected("two or more lists of steps"),
			v.description(
				"lists of steps that administrators make at the same time; klpemu run makes one list after the other",
			),
		),
		doc: {
			form: ["race: [[...], [...]]"],
			does: "lists of steps that administrators make at the same time (`explore`); `run` makes one list after the other",
		},
		outside: true,
		read: (raw, place) => ({
			actors: raw.map((steps, actor) => steps.map((one, index) => readStep(racing, one, place.at(actor, index)))),
		}),
		title({ actors }) {
			const titleOf = (one: (typeof actors)[number][number]) =>
				racing.find(({ kind }) => kind === one.kind)?.title(one) ?? one.kind;
			return `race: ${actors.map((steps) => steps.map(titleOf).join(", ")).join(" | ")}`;
		},
		*run({ actors }, { race }) {
			yield new Outside("race", race(actors), 0);
			return 0;
		},
	});
}
