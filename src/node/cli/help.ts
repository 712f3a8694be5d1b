import { type AnyOption, type Command, type CommandEntry, optionName } from "./command.js";

/** Two columns, the right one aligned. */
function columns(rows: readonly (readonly [string, string])[]): string[] {
	const width = Math.max(0, ...rows.map(([left]) => left.length));
	return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}

export function generalHelp(commands: readonly CommandEntry[]): string {
	return [
		"klpemu: run Linux livepatch transitions on an emulated x86-64 machine",
		"",
		"Usage: klpemu COMMAND [OPTIONS]",
		"",
		"Commands:",
		...columns(commands.map(({ name, summary }) => [name, summary])),
		"",
		"Options:",
		...columns([
			["--help, -h", "this text; klpemu COMMAND --help for a command"],
			["--version", "the version of klpemu"],
		]),
		"",
	].join("\n");
}

export function commandHelp({ name, summary }: CommandEntry, command: Command<never>): string {
	const table = Object.entries(command.options as Readonly<Record<string, AnyOption>>);
	const usage = [
		"klpemu",
		name,
		...command.positionals.map(({ name: argument, optional, many }) =>
			optional ? `[${argument}]` : many ? `${argument}...` : argument,
		),
	];
	if (table.length > 0) usage.push("[OPTIONS]");
	const lines = [summary, "", `Usage: ${usage.join(" ")}`, ""];
	if (command.positionals.length > 0) {
		lines.push("Arguments:", ...columns(command.positionals.map((argument) => [argument.name, argument.help])), "");
	}
	const rows = table.map(([key, option]): [string, string] => {
		const left = `--${optionName(key)}`;
		const help = option.type === "list" ? `${option.help}; may be repeated` : option.help;
		return [option.type === "flag" ? left : `${left} ${option.value}`, help];
	});
	lines.push("Options:", ...columns([...rows, ["--help, -h", "this text"]]), "");
	if (command.details !== undefined) lines.push(...command.details, "");
	return lines.join("\n");
}
