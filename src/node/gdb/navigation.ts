import type { Kaddr } from "../../memory/index.js";
import type { Breakpoints } from "./breakpoints.js";
import type { Capture, Reason } from "./capture.js";
import type { Player } from "./player.js";

/** How a client goes on. */
export type Move =
	| { readonly kind: "continue" }
	/** To the next instruction of the thread. */
	| { readonly kind: "step"; readonly thread: number }
	/** Until the thread is outside of the range of addresses. */
	| { readonly kind: "range"; readonly thread: number; readonly start: Kaddr; readonly end: Kaddr }
	| { readonly kind: "back"; readonly thread: number | undefined };

const BEGIN: Reason = { key: "replaylog", value: "begin" };
const END: Reason = { key: "replaylog", value: "end" };

/** The positions to which the moves of a client lead. */
export class Navigation {
	readonly #player: Player;
	readonly #breakpoints: Breakpoints;
	/** The next `continue` also stops where a step of the scenario begins. */
	stopsAtStep = false;

	constructor(player: Player, breakpoints: Breakpoints) {
		this.#player = player;
		this.#breakpoints = breakpoints;
	}

	/** The machine after a move from a position. */
	async go(from: number, move: Move): Promise<Capture> {
		return move.kind === "back" ? this.#back(from, move.thread) : this.#forward(from, move);
	}

	async #forward(from: number, move: Exclude<Move, { kind: "back" }>): Promise<Capture> {
		const { history } = this.#player;
		const atStep = move.kind === "continue" && this.stopsAtStep;
		if (move.kind === "continue") this.stopsAtStep = false;
		const isDone = (thread: number, ip: Kaddr) => {
			if (ip === 0) return atStep;
			if (move.kind === "continue" || thread !== move.thread) return false;
			return move.kind === "step" || ip < move.start || ip >= move.end;
		};
		const found = history.find(from, 1, (thread, ip) => isDone(thread, ip) || this.#breakpoints.isAt(ip));
		const to = found ?? history.length;
		const { watchpoints } = this.#breakpoints;
		const there =
			watchpoints.length > 0 && from < to
				? await this.#player.watchForward(from, to, watchpoints)
				: await this.#player.at(to);
		return there.reason === undefined && there.position === history.length ? { ...there, reason: END } : there;
	}

	/** `thread`: one instruction of it; undefined: to the breakpoint or watchpoint before. */
	async #back(from: number, thread: number | undefined): Promise<Capture> {
		const { history } = this.#player;
		const { watchpoints } = this.#breakpoints;
		const isDone = (of: number, ip: Kaddr) => ip !== 0 && (of === thread || this.#breakpoints.isAt(ip));
		const found = history.find(from, -1, isDone);
		if (watchpoints.length > 0) {
			const hit = await this.#player.watchBackward(found ?? 0, from, watchpoints);
			if (hit !== undefined) return this.#player.at(hit.position, hit.reason);
		}
		return found === undefined ? this.#player.at(0, BEGIN) : this.#player.at(found);
	}
}
