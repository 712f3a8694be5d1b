import type { Readable } from "node:stream";

/** The streams and the environment of a command. Tests pass their own. */
export interface Io {
	readonly stdin: Readable;
	readonly stdout: Output;
	readonly stderr: Output;
	readonly env: Readonly<Record<string, string | undefined>>;
}

/** The members of a stream that the commands use. */
export interface Output {
	write(text: string): unknown;
	readonly isTTY?: boolean | undefined;
	readonly columns?: number | undefined;
}

interface OptionBase {
	/** One line for --help. */
	readonly help: string;
}
export interface FlagOption extends OptionBase {
	readonly type: "flag";
}
export interface TextOption extends OptionBase {
	readonly type: "text";
	/** Name of the value in --help. */
	readonly value: string;
	/** The allowed values; the command need not check them again. */
	readonly choices?: () => readonly string[] | Promise<readonly string[]>;
}
export interface NumberOption extends OptionBase {
	readonly type: "uint64";
	readonly value: string;
}
/** May be given any number of times; the values stay in their order. */
export interface ListOption extends OptionBase {
	readonly type: "list";
	readonly value: string;
}

/** The entry of the option table for an option's type. */
export type OptionFor<T> = [T] extends [boolean]
	? FlagOption
	: [T] extends [bigint | undefined]
		? NumberOption
		: [T] extends [readonly string[]]
			? ListOption
			: TextOption;

export type AnyOption = FlagOption | TextOption | NumberOption | ListOption;

export interface Positional {
	readonly name: string;
	readonly help: string;
	/** It may be omitted; only possible for the last ones. */
	readonly optional?: true;
	/** More than one may be given; only the last one. */
	readonly many?: true;
	/** The allowed values; the command need not check them again. */
	readonly choices?: readonly string[];
}

/**
 * A subcommand, whose name and summary are in commands.ts. The table must name every key of `Options` (hence `-?`), so an
 * option that the code reads and the command line does not know fails to compile. Flags are `boolean`, lists
 * are empty and the other options undefined if they are not given.
 */
export interface Command<Options extends object = Record<never, never>> {
	readonly positionals: readonly Positional[];
	readonly options: { readonly [Key in keyof Options]-?: OptionFor<Options[Key]> };
	/** Further text for --help: exit statuses, examples. */
	readonly details?: readonly string[];
	/** Returns the exit status. */
	run(options: Options, positionals: readonly string[], io: Io): Promise<number>;
}

/** A command that is loaded only when it is called, so that start-up stays quick. */
export interface CommandEntry {
	readonly name: string;
	/** One line, for the list of commands and the command's own help. */
	readonly summary: string;
	/** Its `Command<...>`; only the command knows the type of its options. */
	load(): Promise<unknown>;
}

/**
 * Exit statuses. Each command defines 1: a negative result. `bounded`: no result, because the search was not complete.
 */
export const EXIT = { ok: 0, no: 1, badInput: 2, bounded: 3, bug: 70 } as const;

/** The argument with which klpemu starts a thread of itself. */
export const THREAD = "--thread";

/** `insnTrace` -> `insn-trace`. */
export function optionName(key: string): string {
	return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
