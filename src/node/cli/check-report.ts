import { groupBy, printableData } from "../../base/index.js";
import { type CheckReport, type Finding, KINDS, type ObjectReport, type PatchReport } from "../../check/index.js";
import { type Paint, wrap } from "../../report/index.js";

const WIDTH = 80;
const INDENT = "    ";

/** The report as text, 80 columns wide. The first line is the verdict. */
export function renderCheck(report: CheckReport, paint: Paint): string {
	const safe = printableData(report);
	const lines = [
		...verdictLines(safe, paint),
		...moduleLines(safe, paint),
		...[...groupBy(safe.findings, ({ kind }) => kind).values()].flatMap((findings) => [
			"",
			...kindLines(findings, paint),
		]),
		"",
		...safe.lookedAt.flatMap((what) => hanging("looked at      ", what)),
		...safe.notLookedAt.flatMap((what) => hanging("not looked at  ", what)),
	];
	return `${lines.join("\n")}\n`;
}

function verdictLines({ file, verdict, findings, module, patches }: CheckReport, paint: Paint): string[] {
	const count = (weight: Finding["weight"]): number => findings.filter((finding) => finding.weight === weight).length;
	const more = [
		verdict === "refused" && count("wrong") > 0 ? `${many(count("wrong"), "thing")} wrong` : "",
		count("remark") > 0 ? many(count("remark"), "remark") : "",
	].filter((text) => text !== "");
	const kind = module.livepatch || patches.length > 0 ? "livepatch" : "module, no livepatch,";
	const text = {
		refused: `the kernel refuses it, for ${many(count("refused"), "reason")}`,
		wrong: `it loads, and ${many(count("wrong"), "thing")} ${count("wrong") === 1 ? "is" : "are"} wrong`,
		clean: `a ${kind} in which nothing wrong was found`,
	}[verdict];
	const role = verdict === "clean" ? "good" : "bad";
	// One line, also for a long path: a script reads the first one.
	return [paint(role, `${file}: ${[text, ...more].join("; ")}`)];
}

const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

function moduleLines({ module, patches }: CheckReport, paint: Paint): string[] {
	const facts = [
		`module ${module.name}`,
		module.vermagic === null ? "without vermagic" : `for ${module.vermagic.trim()}`,
		module.license === null ? "without a licence" : `licence ${module.license}`,
		...(module.depends.length === 0 ? [] : [`needs ${module.depends.join(", ")}`]),
	];
	return ["", ...wrap(facts.join("; "), WIDTH), ...patches.flatMap((patch) => patchLines(patch, paint))];
}

function patchLines({ form, replace, states, objects }: PatchReport, paint: Paint): string[] {
	const how = { klp_patch: "livepatch", "klp-build": "livepatch of klp-build", kpatch: "livepatch of kpatch" }[form];
	const facts = [
		replace === null ? "replace is set at run time" : replace ? "replaces all others" : "stacks on others",
		...(states.length === 0
			? []
			: [`states ${states.map(({ id, version }) => `${id} version ${version}`).join(", ")}`]),
	];
	return [`${how}: ${facts.join("; ")}`, ...objects.flatMap((object) => objectLines(object, paint))];
}

function objectLines({ name, funcs, callbacks, relocations, symbols }: ObjectReport, paint: Paint): string[] {
	const lines = [`  ${paint("heading", name)}`];
	for (const { oldName, sympos, newFunc, oldAddress, oldFile } of funcs) {
		const position = sympos === 0 ? "" : `, position ${sympos}`;
		const where = [oldAddress, oldFile].filter((part) => part !== undefined).join(" of ");
		const old = `${oldName ?? "(null)"}${position}${where === "" ? "" : ` (${where})`}`;
		lines.push(...hanging(INDENT, `${old} -> ${newFunc ?? "(null)"}`));
	}
	const called = Object.entries(callbacks).map(([field, to]) => `${field} ${to}()`);
	if (called.length > 0) lines.push(...hanging(`${INDENT}callbacks: `, called.join(", ")));
	if (relocations > 0) {
		const shown = symbols.slice(0, 20).join(" ") + (symbols.length > 20 ? ` and ${symbols.length - 20} more` : "");
		lines.push(...hanging(`${INDENT}${many(relocations, "livepatch relocation")}: `, shown));
	}
	return lines;
}

/** Findings of one kind: what they have in common is said once. */
function kindLines(findings: readonly Finding[], paint: Paint): string[] {
	const [{ kind, weight, place, advice }] = findings as [Finding];
	const role = ({ refused: "bad", wrong: "wait", remark: "dim" } as const)[weight];
	const head = findings.length === 1 ? placeText(place) : `${findings.length} times`;
	return [
		...hanging(`${weight}: ${kind} `, head).map((line) => paint(role, line.trimEnd())),
		...hanging(INDENT, KINDS[kind].fault),
		...findings.flatMap((finding) => oneLines(finding, findings.length > 1)),
		...hanging(`${INDENT}to do: `, advice),
	];
}

const placeText = ({ object, func, in: where }: Finding["place"]): string =>
	[object, func, where].filter((part) => part !== undefined).join(" ");

function oneLines({ place, what, errno, dmesg }: Finding, withPlace: boolean): string[] {
	const here = [withPlace ? placeText(place) : "", what].filter((part) => part !== "").join(": ");
	const rows = { "here: ": here, "errno:": errno, "dmesg:": dmesg };
	return Object.entries(rows).flatMap(([head, text]) => (text ? hanging(`${INDENT}${head} `, text) : []));
}

/** Text behind a head, wrapped, with the further lines indented like the text. */
function hanging(head: string, text: string): string[] {
	const lines = wrap(text, WIDTH - head.length);
	return (lines.length === 0 ? [""] : lines).map(
		(line, index) => (index === 0 ? head : " ".repeat(head.length)) + line,
	);
}
