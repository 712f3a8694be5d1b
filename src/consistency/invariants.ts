/** The invariants, which must be true at each moment of each run: name, and description in one sentence. */
export const RULES = {
	"sudden-change": "The implementation that a task would run for a function may change only when that task switches.",
	"mixed-universe": "A task must see all of the state before the transition, or all of the state after it.",
	"switched-on-stack": "A task must not switch while it is inside an implementation that it leaves.",
	"freed-text": "A task must not return or jump into text that is not mapped any more.",
	"use-after-free": "The kernel must not read freed memory.",
	"lost-patch":
		"After a transition each task must run the implementations that the design promises for the enabled patches.",
	stuck: "Under a fair schedule a transition must end.",
	deadlock: "Kernel code must come to its end: none may wait for ever.",
	warn: "No WARN_ON may fire, and no kernel code may fault.",
} as const;

export type Invariant = keyof typeof RULES;

export const INVARIANTS = Object.keys(RULES) as readonly Invariant[];
