import { INVARIANTS, RULES } from "../src/consistency/index.js";
import { type Command, commandHelp, commands } from "../src/node/cli/index.js";
import { scenarioJsonSchema } from "./json-schema.js";
import { stepsTable } from "./steps-table.js";

/** The used part of JSON Schema. */
interface Schema {
	readonly type?: string | readonly string[];
	readonly description?: string;
	readonly enum?: readonly unknown[];
	readonly const?: unknown;
	readonly default?: unknown;
	readonly pattern?: string;
	readonly minimum?: number;
	readonly maximum?: number;
	readonly properties?: Readonly<Record<string, Schema>>;
	readonly required?: readonly string[];
	readonly additionalProperties?: Schema | boolean;
	readonly items?: Schema;
	readonly anyOf?: readonly Schema[];
	readonly allOf?: readonly Schema[];
}

/** What a value may be, in a few words. */
function typeOf(schema: Schema): string {
	if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(", ");
	if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(typeOf))].join(", or ");
	if (schema.minimum !== undefined && schema.maximum !== undefined && schema.maximum < 2 ** 32 - 1) {
		return `a whole number from ${schema.minimum} to ${schema.maximum}`;
	}
	if (schema.type === "array") return `a list of ${schema.items?.type === "object" ? "maps" : "names"}`;
	if (schema.type === "object") return "a map";
	if (schema.type === "boolean") return "`true` or `false`";
	if (schema.type === "integer" || schema.type === "number") return "a whole number";
	return schema.type === "string" ? "a text" : "";
}

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");

/** A row for a key, and rows for the keys below it. `path`: `livepatches.NAME.funcs`. */
function rows(path: string, schema: Schema, required: boolean): string[] {
	const facts = [typeOf(schema), ...(required ? ["must be there"] : [])].filter((text) => text !== "");
	const row = `| \`${path}\` | ${cell(facts.join("; "))} | ${cell(schema.description ?? "")} |`;
	return [row, ...rowsBelow(path, schema)];
}

function rowsBelow(path: string, schema: Schema): string[] {
	const keys = Object.entries(schema.properties ?? {});
	const own = keys.flatMap(([key, below]) => rows(`${path}.${key}`, below, schema.required?.includes(key) ?? false));
	const named = schema.additionalProperties;
	const map = typeof named === "object" ? rowsBelow(`${path}.NAME`, named) : [];
	const list = schema.items?.type === "object" ? rowsBelow(`${path}[]`, schema.items) : [];
	const alternatives = (schema.anyOf ?? []).flatMap((one) => rowsBelow(path, one));
	return [...own, ...map, ...list, ...alternatives];
}

function keysTable(): string[] {
	const schema = scenarioJsonSchema() as Schema;
	const table = Object.entries(schema.properties!).flatMap(([key, below]) => {
		const required = schema.required?.includes(key) ?? false;
		// Steps have a table of their own.
		return key === "steps"
			? rows(key, { description: "the actions, in this order: the table below" }, true)
			: rows(key, below, required);
	});
	return ["| key | value | meaning |", "|---|---|---|", ...table];
}

async function commandSections(): Promise<string[]> {
	const sections = commands.map(async (entry) => {
		const help = commandHelp(entry, (await entry.load()) as Command<never>).trimEnd();
		return [`### klpemu ${entry.name}`, "", ...help.split("\n").map((line) => `    ${line}`.trimEnd()), ""];
	});
	return (await Promise.all(sections)).flat();
}

/** docs/reference.md: everything that is made from the tables of commands, the schema and the definitions of steps. */
export async function reference(): Promise<string> {
	return [
		"# Reference",
		"",
		"Written by `npm run schema`, from the tables of commands, the schema of scenarios and the definitions of steps.",
		"",
		"## Commands",
		"",
		...(await commandSections()),
		"Exit status 70: an internal error, which is a bug of klpemu.",
		"",
		"A command that is interrupted (Ctrl-C, SIGTERM, SIGHUP):",
		"",
		"* prints what is known if it searches: `explore` and `campaign` with status 3 (or 1), `vm` with status 1;",
		"* ends with status 0 if it serves: `serve`, `gdb`, `worker`, which gives its searches back (`run --watch`: with that of the last run);",
		"* ends by the signal otherwise: in a shell 130 for Ctrl-C, 143 for SIGTERM. Each answer of `exec` and each line of `selftest` was",
		"  printed at once. `run`, `replay`, `check`, `compare`, `merge` print all at their end, so nothing.",
		"",
		"Each file that klpemu writes is there whole or not at all, whatever ends it; of a kit, `run.sh` is written last, and a folder without",
		"it is no kit. If a file cannot be written (a full disk), the result is printed all the same, the other files are written, and the",
		"status is 2. If standard output cannot be written, files are, and the status is 2; a reader that has seen enough (`| head`) is no",
		"error. If there is no room for temporary files (`TMPDIR`), the status is 2.",
		"",
		"## Keys of a scenario",
		"",
		"A scenario is YAML 1.2. `NAME` stands for a name that you choose. `schema/scenario.schema.json` is the same for an editor:",
		"begin the file with `# yaml-language-server: $schema=PATH/scenario.schema.json`.",
		"",
		...keysTable(),
		"",
		"## Steps",
		"",
		stepsTable(),
		"",
		"A step that must fail has `errno` beside it (`{ insmod: lp4, errno: EBUSY }`), for single designs too",
		"(`errno: { rfc-2025: EINVAL }`).",
		"",
		"## Invariants",
		"",
		"| name | rule |",
		"|---|---|",
		...INVARIANTS.map((name) => `| \`${name}\` | ${RULES[name]} |`),
		"",
	].join("\n");
}
