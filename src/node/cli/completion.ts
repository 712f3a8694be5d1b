import { type AnyOption, type Command, type CommandEntry, EXIT, optionName } from "./command.js";

/** One command, as a shell needs it. */
interface Words {
	readonly name: string;
	readonly summary: string;
	/** Second words of the name: `build` and `show` of `kernel`. */
	readonly actions: readonly string[];
	readonly options: readonly {
		readonly name: string;
		readonly help: string;
		/** It needs a value: one of these, or any if there are none. */
		readonly values: readonly string[] | undefined;
	}[];
}

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

/** The tables of all commands: what --help prints. Commands whose names have the same first word are one. */
async function words(commands: readonly CommandEntry[]): Promise<Words[]> {
	const all = new Map<string, Words>();
	for (const { name, summary, options } of await tables(commands)) {
		const [first, ...rest] = name.split(" ");
		const other = all.get(first!);
		const others = other?.options ?? [];
		all.set(first!, {
			name: first!,
			summary: other === undefined ? summary : `${other.summary}; ${summary}`,
			actions: [...(other?.actions ?? []), ...rest],
			options: [...others, ...options.filter((option) => others.every((known) => known.name !== option.name))],
		});
	}
	return [...all.values()];
}

function tables(commands: readonly CommandEntry[]): Promise<Omit<Words, "actions">[]> {
	return Promise.all(
		commands.map(async ({ name, summary, load }) => {
			const { options } = (await load()) as Command<Record<string, string | undefined>>;
			const table = Object.entries(options as Readonly<Record<string, AnyOption>>);
			const all = table.map(async ([key, option]) => ({
				name: `--${optionName(key)}`,
				help: option.help,
				values: option.type === "flag" ? undefined : await valuesOf(option),
			}));
			const help = { name: "--help", help: "the command's help", values: undefined };
			return { name, summary, options: [...(await Promise.all(all)), help] };
		}),
	);
}

async function valuesOf(option: AnyOption): Promise<readonly string[]> {
	return option.type === "text" && option.choices !== undefined ? option.choices() : [];
}

/** For bash: words of the command, values of an option behind it, else files. */
function bash(all: readonly Words[]): string {
	const cases = all.flatMap(({ name, options, actions }) => [
		...(actions.length > 0 ? [`\t\t"${name} ${name}") words="${actions.join(" ")}" ;;`] : []),
		...options
			.filter(({ values }) => values !== undefined)
			.map(({ name: option, values }) => `\t\t"${name} ${option}") words="${values!.join(" ")}" ;;`),
		`\t\t"${name} "*) words="${options.map((option) => option.name).join(" ")}" ;;`,
	]);
	return [
		"# klpemu completion bash",
		"_klpemu() {",
		// biome-ignore lint/suspicious/noTemplateCurlyInString: variables of the shell
		'\tlocal current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD - 1]}" words=""',
		"\tCOMPREPLY=()",
		"\tif ((COMP_CWORD == 1)); then",
		`\t\tCOMPREPLY=($(compgen -W "${all.map(({ name }) => name).join(" ")} --help --version" -- "$current"))`,
		"\t\treturn",
		"\tfi",
		// biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of the shell
		'\tcase "${COMP_WORDS[1]} $before" in',
		...cases,
		"\tesac",
		// Where neither an option nor its value can stand, bash offers files.
		"\tif [[ $current == -* || $before == --* || ($COMP_CWORD == 2 && $words != --*) ]]; then",
		'\t\tCOMPREPLY=($(compgen -W "$words" -- "$current"))',
		"\tfi",
		"}",
		"complete -o default -o bashdefault -F _klpemu klpemu",
		"",
	].join("\n");
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** For zsh, in a file `_klpemu` of a folder of $fpath. */
function zsh(all: readonly Words[]): string {
	const spec = ({ name, help, values }: Words["options"][number]) => {
		const text = help.replace(/[[\]:\\]/g, "\\$&");
		if (values === undefined) return quoted(`${name}[${text}]`);
		return quoted(`${name}[${text}]:value:${values.length > 0 ? `(${values.join(" ")})` : "_files"}`);
	};
	return [
		"#compdef klpemu",
		"_klpemu() {",
		"\tif ((CURRENT == 2)); then",
		`\t\tlocal -a commands=(${all.map(({ name, summary }) => quoted(`${name}:${summary}`)).join(" ")})`,
		"\t\t_describe command commands",
		"\t\treturn",
		"\tfi",
		"\tlocal command=$words[2]",
		"\tshift words",
		"\t((CURRENT--))",
		"\tcase $command in",
		...all.map(({ name, options, actions }) => {
			const first = actions.length > 0 ? `'1:action:(${actions.join(" ")})' ` : "";
			return `\t\t${name}) _arguments ${options.map(spec).join(" ")} ${first}'*:file:_files' ;;`;
		}),
		"\tesac",
		"}",
		'_klpemu "$@"',
		"",
	].join("\n");
}

/** For fish, in a file klpemu.fish of a folder for completions. */
function fish(all: readonly Words[]): string {
	const escaped = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
	return all
		.flatMap(({ name, summary, options, actions }) => [
			`complete -c klpemu -n __fish_use_subcommand -f -a ${name} -d ${escaped(summary)}`,
			...actions.map((action) => `complete -c klpemu -n '__fish_seen_subcommand_from ${name}' -a ${action}`),
			...options.map(({ name: option, help, values }) => {
				const head = `complete -c klpemu -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)} -d ${escaped(help)}`;
				if (values === undefined) return head;
				return values.length > 0 ? `${head} -x -a ${escaped(values.join(" "))}` : `${head} -r`;
			}),
		])
		.concat("")
		.join("\n");
}

const writers: Readonly<Record<Shell, (all: readonly Words[]) => string>> = { bash, zsh, fish };

/** `commands`: all commands of the command line, this one too. */
export function makeCompletionCommand(commands: readonly CommandEntry[]): Command {
	return {
		positionals: [{ name: "SHELL", help: SHELLS.join(", "), choices: SHELLS }],
		options: {},
		details: [
			"Examples:",
			'  eval "$(klpemu completion bash)"',
			"  klpemu completion zsh > ~/.zfunc/_klpemu        (a folder of $fpath)",
			"  klpemu completion fish > ~/.config/fish/completions/klpemu.fish",
		],
		async run(_options, [shell], { stdout }) {
			stdout.write(writers[shell as Shell](await words(commands)));
			return EXIT.ok;
		},
	};
}
