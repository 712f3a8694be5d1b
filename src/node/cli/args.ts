import { parseArgs } from "node:util";
import { KlpemuError, suggest } from "../../base/index.js";
import { type AnyOption, type Command, type NumberOption, optionName, type Positional } from "./command.js";

export interface ParsedArgs {
	/** Values by key of the command's option table; flags that were not given are false, lists are empty. */
	readonly options: Record<string, OptionValue | readonly string[] | undefined>;
	readonly positionals: readonly string[];
	readonly help: boolean;
}

type OptionValue = boolean | string | bigint;
type OptionTable = Readonly<Record<string, AnyOption>>;

function badArgument(command: string, message: string, hint = `klpemu ${command} --help`): KlpemuError {
	return new KlpemuError("CLI_BAD_ARGUMENT", message, { where: `klpemu ${command}`, hint });
}

/** `18446744073709551615`, `0xff`: all 64 bits. Throws `CLI_BAD_ARGUMENT`. */
function uint64(command: string, name: string, { value: unit, help }: NumberOption, text: string): bigint {
	const isNumber = /^(\d+|0x[\da-f]+)$/i.test(text);
	if (isNumber && BigInt(text) < 1n << 64n) return BigInt(text);
	const wanted = isNumber ? "less than 2^64" : "a whole number, decimal or 0x...";
	throw badArgument(command, `--${name} must be ${wanted}, not '${text}'`, `--${name} ${unit}: ${help}`);
}

/**
 * The arguments after the command's name, checked against its table. Throws `CLI_BAD_ARGUMENT`; with --help, nothing but
 * the options' names is checked.
 */
export async function parseCommandArgs(
	name: string,
	command: Command<never>,
	argv: readonly string[],
): Promise<ParsedArgs> {
	const table = command.options as OptionTable;
	const keys = new Map(Object.keys(table).map((key) => [optionName(key), key]));
	const config: Record<string, { type: "boolean" | "string"; short?: string }> = {
		help: { type: "boolean", short: "h" },
	};
	for (const [option, key] of keys) config[option] = { type: table[key]!.type === "flag" ? "boolean" : "string" };
	// Not strict: the errors of parseArgs have no suggestions. The tokens have all the information.
	const { tokens } = parseArgs({
		args: [...argv],
		options: config,
		allowPositionals: true,
		strict: false,
		tokens: true,
	});
	const options: ParsedArgs["options"] = {};
	const lists = new Map(keysOfType(table, "list").map((key): [string, string[]] => [key, []]));
	const positionals: string[] = [];
	let help = false;
	for (const token of tokens) {
		if (token.kind === "positional") positionals.push(token.value);
		if (token.kind !== "option") continue;
		const key = keys.get(token.name);
		if (token.name === "help") help = true;
		else if (key === undefined) throw unknownOption(name, token.rawName, [...keys.keys()]);
		else if (Object.hasOwn(options, key)) throw badArgument(name, `--${token.name} is given twice`);
		else {
			const value = optionValue(name, token.name, table[key]!, token.value, token.inlineValue === true);
			const list = lists.get(key);
			if (list === undefined) options[key] = value;
			else list.push(String(value));
		}
	}
	for (const [key, list] of lists) options[key] = list;
	if (help) return { options, positionals, help };
	for (const [key, option] of Object.entries(table)) {
		if (option.type === "flag") options[key] ??= false;
		else await checkChoice(name, key, option, options[key]);
	}
	checkPositionals(name, command.positionals, positionals);
	return { options, positionals, help };
}

function keysOfType(table: OptionTable, type: AnyOption["type"]): string[] {
	return Object.keys(table).filter((key) => table[key]!.type === type);
}

function unknownOption(command: string, rawName: string, names: readonly string[]): KlpemuError {
	const known = [...names, "help"].map((name) => `--${name}`);
	return badArgument(command, `unknown option '${rawName}'`, suggest(rawName, "options", known));
}

function optionValue(
	command: string,
	name: string,
	option: AnyOption,
	value: string | undefined,
	inline: boolean,
): OptionValue {
	if (option.type === "flag") {
		if (value !== undefined) throw badArgument(command, `--${name} takes no value`);
		return true;
	}
	// `--design --json`: a value that looks like an option means that the value is missing; `--design=--json` is a
	// value.
	if (value === undefined || value === "" || (!inline && value.startsWith("-") && value.length > 1)) {
		throw badArgument(command, `--${name} needs a value`, `--${name} ${option.value}: ${option.help}`);
	}
	return option.type === "uint64" ? uint64(command, name, option, value) : value;
}

async function checkChoice(command: string, key: string, option: AnyOption, value: unknown): Promise<void> {
	if (option.type !== "text" || option.choices === undefined || typeof value !== "string") return;
	const choices = await option.choices();
	if (choices.includes(value)) return;
	throw badArgument(command, `--${optionName(key)}: there is no '${value}'`, suggest(value, "allowed", choices));
}

function checkPositionals(command: string, wanted: readonly Positional[], given: readonly string[]): void {
	const missing = wanted[given.length];
	if (missing !== undefined && !missing.optional)
		throw badArgument(command, `${missing.name} is missing: ${missing.help}`);
	for (const [index, { name, choices }] of wanted.entries()) {
		const value = given[index];
		if (value === undefined || choices === undefined || choices.includes(value)) continue;
		throw badArgument(command, `${name}: there is no '${value}'`, suggest(value, "allowed", choices));
	}
	const extra = wanted.at(-1)?.many ? undefined : given[wanted.length];
	if (extra !== undefined) throw badArgument(command, `unexpected argument '${extra}'`);
}
