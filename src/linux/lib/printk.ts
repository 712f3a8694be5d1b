import { declareState } from "../../base/index.js";
/** A line of the ring buffer. */
export interface PrintkRecord {
	/** Syslog level, 0 (emerg) to 7 (debug). */
	readonly level: number;
	readonly text: string;
	/** The pid of a task that has printed it without a newline at its end. */
	readonly openBy?: number;
	/** It goes on with the line of the record before it (KERN_CONT). */
	readonly continues?: boolean;
}

export const KERN = { EMERG: 0, ALERT: 1, CRIT: 2, ERR: 3, WARNING: 4, NOTICE: 5, INFO: 6, DEBUG: 7 } as const;

/**
 * dmesg: the messages that the kernel would print, in its words and without time stamps. Debug messages are on, as in
 * the selftests.
 */
export class Dmesg {
	/** Messages, past and future, do not change the kernel's behaviour. */
	static readonly state = declareState("Dmesg", {
		fields: [],
		unkeyed: ["debugOff", "once"],
		logs: ["records", "warnings"],
	});

	readonly records: PrintkRecord[] = [];
	/** WARN_ON sites that have fired, in order. A `_ONCE` site prints once, but each hit is in this list. */
	readonly warnings: string[] = [];
	/** Functions whose debug messages are switched off (dynamic_debug/control). */
	readonly debugOff = new Set<string>();
	private readonly once = new Set<string>();

	print(level: number, text: string): void {
		this.records.push({ level, text });
	}

	/** A text of guest code, maybe of several lines, by a task. `isCont`: pr_cont(). */
	printText(level: number, text: string, pid: number, isCont: boolean): void {
		const lines = text.replace(/\n$/, "").split("\n");
		for (const [index, line] of lines.entries()) {
			const isOpen = index === lines.length - 1 && !text.endsWith("\n");
			const continues = index === 0 && isCont && this.records.at(-1)?.openBy === pid;
			this.records.push({ level, text: line, ...(isOpen && { openBy: pid }), ...(continues && { continues }) });
		}
	}

	/** WARN_ON: `what` names function and condition. Returns the condition, like the kernel's macro. */
	WARN_ON(condition: boolean, what: string): boolean {
		if (condition) {
			this.warnings.push(what);
			this.print(KERN.WARNING, `WARNING: ${what}`);
		}
		return condition;
	}

	WARN_ON_ONCE(condition: boolean, what: string): boolean {
		if (condition) {
			this.warnings.push(what);
			if (!this.once.has(what)) this.print(KERN.WARNING, `WARNING: ${what}`);
			this.once.add(what);
		}
		return condition;
	}

	/** WARN_ONCE(1, text) of a function. */
	WARN_ONCE(text: string, func: string): void {
		const what = `${func}: ${text}`;
		if (!this.once.has(what)) this.print(KERN.WARNING, text);
		this.WARN_ON_ONCE(true, what);
	}

	lines(): string[] {
		const lines: string[] = [];
		for (const { text, continues } of this.records) {
			if (continues) lines.push(`${lines.pop() ?? ""}${text}`);
			else lines.push(text);
		}
		return lines;
	}
}

/** pr_err, pr_notice, ... of one file, with its pr_fmt prefix. */
export class Printer {
	readonly #dmesg: Dmesg;
	readonly #prefix: string;

	constructor(dmesg: Dmesg, prefix: string) {
		this.#dmesg = dmesg;
		this.#prefix = prefix;
	}
	pr_err(text: string): void {
		this.#dmesg.print(KERN.ERR, this.#prefix + text);
	}
	pr_warn(text: string): void {
		this.#dmesg.print(KERN.WARNING, this.#prefix + text);
	}
	pr_notice(text: string): void {
		this.#dmesg.print(KERN.NOTICE, this.#prefix + text);
	}
	pr_info(text: string): void {
		this.#dmesg.print(KERN.INFO, this.#prefix + text);
	}
	/** `func`: the function that prints, for dynamic debug. */
	pr_debug(text: string, func?: string): void {
		if (func !== undefined && this.#dmesg.debugOff.has(func)) return;
		this.#dmesg.print(KERN.DEBUG, this.#prefix + text);
	}
}
