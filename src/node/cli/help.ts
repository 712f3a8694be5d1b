import { type AnyOption, type Command, optionName } from "./command.js";

/** Two columns, the right one aligned. */
function columns(rows: readonly (readonly [string, string])[]): string[] {
	const width = Math.max(0, ...rows.map(([left]) => left.length));
	return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}

export function generalHelp(commands: readonly { readonly name: string; readonly summary: string }[]): string {
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

export function commandHelp(command: Command<never>): string {
	const table = Object.entries(command.options as Readonly<Record<string, AnyOption>>);
	const usage = [
		"klpemu",
		command.name,
		...command.positionals.map(({ name, optional }) => (optional ? `[${name}]` : name)),
	];
	if (table.length > 0) usage.push("[OPTIONS]");
	const lines = [command.summary, "", `Usage: ${usage.join(" ")}`, ""];
	if (command.positionals.length > 0) {
		lines.push("Arguments:", ...columns(command.positionals.map(({ name, help }) => [name, help])), "");
	}
	const rows = table.map(([key, option]): [string, string] => {
		const name = `--${optionName(key)}`;
		return [option.type === "flag" ? name : `${name} ${option.value}`, option.help];
	});
	lines.push("Options:", ...columns([...rows, ["--help, -h", "this text"]]), "");
	if (command.details !== undefined) lines.push(...command.details, "");
	return lines.join("\n");
}
