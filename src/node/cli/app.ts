import type { MessagePort } from "node:worker_threads";
import { KlpemuError, suggest } from "../../base/index.js";
import { parseCommandArgs } from "./args.js";
import { type Command, type CommandEntry, EXIT, type Io } from "./command.js";
import { commands } from "./commands.js";
import type { HelperData } from "./explore-helper.js";
import type { ThreadData } from "./explore-thread.js";
import { columnsOf, foldTo } from "./fold.js";
import { commandHelp, generalHelp } from "./help.js";
import { version } from "./version.js";

/** A thread that `klpemu explore` has started. */
export async function runThread(port: MessagePort, data: ThreadData | HelperData): Promise<void> {
	if ("helps" in data) await (await import("./explore-helper.js")).serveExecutions(data);
	else (await import("./explore-thread.js")).serveSearches(port, data);
}

/** The whole command line: returns the exit status and never throws. */
export async function runCli(
	argv: readonly string[],
	io: Io,
	entries: readonly CommandEntry[] = commands,
): Promise<number> {
	try {
		return await dispatch(argv, io, entries);
	} catch (error) {
		if (error instanceof KlpemuError) {
			io.stderr.write(`${foldTo(error.format(), io.stderr.columns)}\n`);
			return EXIT.badInput;
		}
		const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
		io.stderr.write(`${stack}\nThis is a bug in klpemu. Please report it with the command line and the files.\n`);
		return EXIT.bug;
	}
}

/** `klpemu kernel`, whose commands have names of two words, without the second one: help, or an error. */
async function dispatchFamily(family: readonly CommandEntry[], name: string, word: string | undefined, io: Io) {
	if (word === "--help" || word === "-h") {
		const helps = family.map(async (entry) => commandHelp(entry, (await entry.load()) as Command<never>));
		io.stdout.write(foldTo((await Promise.all(helps)).join("\n"), columnsOf(io)));
		return EXIT.ok;
	}
	const reason = word === undefined ? `'${name}' needs a second word` : `'${name}' has no '${word}'`;
	const words = family.map((entry) => entry.name.slice(name.length + 1));
	throw new KlpemuError("CLI_UNKNOWN_COMMAND", reason, {
		where: `klpemu ${name}`,
		hint: suggest(word ?? "", "second words", words),
	});
}

async function dispatch(argv: readonly string[], io: Io, entries: readonly CommandEntry[]): Promise<number> {
	const [name, ...rest] = argv;
	if (name === undefined) {
		io.stderr.write(foldTo(generalHelp(entries), io.stderr.columns));
		return EXIT.badInput;
	}
	if (name === "--version") {
		io.stdout.write(`${await version()}\n`);
		return EXIT.ok;
	}
	if (name === "--help" || name === "-h" || (name === "help" && rest.length === 0)) {
		io.stdout.write(foldTo(generalHelp(entries), columnsOf(io)));
		return EXIT.ok;
	}
	if (name === "help") return dispatch([...rest, "--help"], io, entries);
	// `kernel build` is one command with a name of two words.
	const pair = entries.find((candidate) => candidate.name === `${name} ${rest[0]}`);
	const entry = pair ?? entries.find((candidate) => candidate.name === name);
	if (entry === undefined) {
		const family = entries.filter((candidate) => candidate.name.startsWith(`${name} `));
		if (family.length > 0) return dispatchFamily(family, name, rest[0], io);
		const known = [
			...entries.map((candidate) => candidate.name),
			...(name.startsWith("-") ? ["--help", "--version"] : []),
		];
		const what = name.startsWith("-") ? "option" : "command";
		const hint = suggest(name, "commands", known);
		throw new KlpemuError("CLI_UNKNOWN_COMMAND", `unknown ${what} '${name}'`, { where: "klpemu", hint });
	}
	const command = (await entry.load()) as Command<never>;
	const { options, positionals, help } = await parseCommandArgs(
		entry.name,
		command,
		pair === undefined ? rest : rest.slice(1),
	);
	if (help) {
		io.stdout.write(foldTo(commandHelp(entry, command), columnsOf(io)));
		return EXIT.ok;
	}
	return command.run(options as never, positionals, io);
}
