import { PlainMoves } from "./plain-moves.js";
import { PlainSteps } from "./plain-steps.js";

/** What explorations of one scenario under several designs have in common: each makes only what none before it has made. */
export class Common {
	readonly moves = new PlainMoves();
	readonly steps = new PlainSteps();
}
