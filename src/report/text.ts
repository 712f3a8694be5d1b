import { groupBy, printableData } from "../base/index.js";
import { errnoName } from "../linux/lib/index.js";
import { changes, patchedFunctions, type StackChange, type StepChange, type TaskChange } from "./diff.js";
import { glance } from "./glance.js";
import { coloured, type Paint, plain, wrap } from "./style.js";
import { joinNames, namesOf, taskTable } from "./table.js";
import type { Report, ReportStep, ReportTest, ReportViolation } from "./types.js";

export interface TextOptions {
	/** Columns of the terminal; default 100. Less than 60 is taken as 60. */
	readonly width?: number;
	/** Default false. */
	readonly colour?: boolean;
	/** Show under each step what the kernel printed. Default false. */
	readonly dmesg?: boolean;
}

const INDENT = "      ";
/** Up to so many func_stacks of a step are all shown; of more, so many of each kind are. */
const ALL_STACKS = 8;
const STACKS_OF_A_KIND = 2;
/** Violations of one invariant in one step that are shown. */
const VIOLATIONS_OF_A_KIND = 8;
/** Lines of a file that are shown. */
const READ_LINES = 20;

/** Lists from a run have no bound: spread into push() they overflow the host's stack. */
function append(lines: string[], more: readonly string[]): void {
	for (const line of more) lines.push(line);
}

/** Equal lines that follow each other, as one: `line (x 3)`. */
function counted(lines: readonly string[]): string[] {
	const groups: { readonly line: string; count: number }[] = [];
	for (const line of lines) {
		const last = groups.at(-1);
		if (last?.line === line) last.count++;
		else groups.push({ line, count: 1 });
	}
	return groups.map(({ line, count }) => (count === 1 ? line : `${line} (x ${count})`));
}

/** The text that a `cat` has read; of a long file the first lines. */
function readLines(text: string | undefined): string[] {
	if (text === undefined) return [];
	const lines = counted(text.split("\n"));
	const rest = lines.length - READ_LINES;
	return rest <= 0 ? lines : [...lines.slice(0, READ_LINES), `... ${rest} more lines`];
}

function isGone(value: string): boolean {
	return value.endsWith(" gone");
}

/** A func_stack without the names in it. */
function shapeOf(stack: readonly string[]): string {
	return stack.map((name) => (name === "nop" ? name : "func")).join();
}

/** Place of a task; undefined: outside of the kernel. */
function insideOf(name: string, { tasks, inside }: ReportStep): string | undefined {
	const innermost = tasks[name]!.in;
	const known = inside?.[name];
	if (known === null) return `is inside ${innermost ?? "the kernel"}; its stack cannot be walked reliably`;
	const stack = known ?? (innermost === null ? [] : [innermost]);
	return stack.length === 0 ? undefined : `is inside ${stack.join(", called by ")}`;
}

/** The report as text. Ends without a newline. */
export function renderReport(report: Report, options: TextOptions = {}): string {
	return new TextReport(printableData(report), options).lines().join("\n");
}

class TextReport {
	readonly #report: Report;
	readonly #functions: readonly string[];
	readonly #width: number;
	readonly #paint: Paint;
	readonly #dmesg: boolean;

	constructor(report: Report, options: TextOptions) {
		this.#report = report;
		this.#functions = patchedFunctions(report);
		this.#width = Math.max(60, options.width ?? 100);
		this.#paint = options.colour ? coloured : plain;
		this.#dmesg = options.dmesg ?? false;
	}

	lines(): string[] {
		const { scenario, design, core, cpu, seed, preemption } = this.#report;
		const of = core === undefined ? "" : ` · the kernel's own C, Linux ${core}`;
		const lines = [
			...wrap(scenario, this.#width).map((line) => this.#paint("title", line)),
			...wrap(`design ${design}${of} · cpu ${cpu} · seed ${seed} · preemption ${preemption}`, this.#width).map((line) =>
				this.#paint("dim", line),
			),
			"",
			...glance(this.#report, this.#width, this.#paint),
		];
		let held: StepChange[] = [];
		const flush = () => {
			if (held.length > 0) lines.push(this.#heldExpectations(held));
			held = [];
		};
		for (const change of changes(this.#report, this.#functions)) {
			if (this.#isQuietExpectation(change)) held.push(change);
			else {
				flush();
				const step = this.#step(change);
				// An empty line around a part that has more than one line.
				if (step.length > 1 && lines.at(-1) !== "") lines.push("");
				append(lines, step);
				if (step.length > 1) lines.push("");
			}
		}
		flush();
		return [...lines, ...(lines.at(-1) === "" ? [] : [""]), ...this.#end(), ...this.#verdict()];
	}

	#failuresOf(step: ReportStep) {
		return this.#report.failures.filter((failure) => failure.step === step.index);
	}

	#isQuietExpectation({ step, violations }: StepChange): boolean {
		return step.action.startsWith("expect ") && violations.length === 0 && this.#failuresOf(step).length === 0;
	}

	#number(text: string): string {
		return this.#paint("dim", text.padStart(4));
	}

	#heldExpectations(held: readonly StepChange[]): string {
		const first = held[0]!.step.index;
		const last = held.at(-1)!.step.index;
		const skipped = held.filter(({ step }) => step.skipped !== undefined);
		const rest = held.length - skipped.length;
		const holds = rest === 0 ? "" : rest === 1 ? "✓ as expected" : `✓ ${rest} expectations hold`;
		const why =
			skipped.length === 1 ? `skipped: ${skipped[0]!.step.skipped}` : `${skipped.length} skipped: for other designs`;
		const text = [
			...(rest > 0 ? [this.#paint("good", holds)] : []),
			...(skipped.length > 0 ? [this.#paint("dim", `· ${why}`)] : []),
		].join(" ");
		return `${this.#number(first === last ? String(first) : `${first}-${last}`)}  ${text}`;
	}

	#step(change: StepChange): string[] {
		const { step, changed, unchanged, violations } = change;
		const failures = this.#failuresOf(step);
		const result = step.errno === 0 ? "" : `  ${errnoName(step.errno)}`;
		const facts = this.#facts(change);
		const read = readLines(step.read);
		const quiet = changed.length === 0 && facts.length === 0 && read.length === 0;
		const failed = step.errno !== 0 || failures.length > 0;
		// A title must be recognised in the scenario; it needs no explanation.
		const mark = /^(state|test): /.test(step.action);
		const fold = !mark && quiet && !failed && violations.length === 0;
		const lines = [
			`${this.#number(String(step.index))}  ${this.#paint("heading", step.action)}` +
				this.#paint(failures.length > 0 ? "bad" : "wait", result) +
				(fold ? this.#paint("dim", "  · changes nothing") : ""),
		];
		// The messages of the kernel contain the reason for a refusal.
		const log = this.#dmesg || failed ? counted(step.dmesg) : [];
		for (const line of log) lines.push(this.#paint("dim", `${INDENT}│ ${line}`));
		for (const hint of step.hints ?? []) append(lines, this.#block("wait", "hint: ", hint));
		for (const line of read) lines.push(this.#paint("dim", `${INDENT}> ${line}`));
		append(
			lines,
			facts.map((line) => INDENT + line),
		);
		if (changed.length > 0) append(lines, this.#table(changed));
		if (changed.length > 0 && unchanged.length > 0) {
			lines.push(INDENT + this.#paint("dim", `unchanged: ${joinNames(unchanged, this.#width - 20)}`));
		}
		for (const violation of violations.filter((each) => each.task === null)) {
			append(lines, this.#block("bad", `✗ ${violation.invariant}: `, violation.message));
		}
		for (const { message, where } of failures) append(lines, this.#block("bad", "✗ ", `${message} (${where})`));
		return lines;
	}

	#table(changed: readonly TaskChange[]): string[] {
		const options = { width: this.#width - INDENT.length, paint: this.#paint };
		return taskTable(changed, this.#functions, options).map((line) => INDENT + line);
	}

	/** Lines that are wrapped at the width, the further ones indented like the first one's text. */
	#block(role: Parameters<Paint>[0], head: string, text: string, indent = INDENT): string[] {
		const lines = wrap(text, this.#width - indent.length - head.length);
		return lines.map(
			(line, index) => indent + this.#paint(role, (index === 0 ? head : " ".repeat(head.length)) + line),
		);
	}

	/** sysfs, refcounts and func_stacks, as far as they changed. */
	#facts({ sysfs, stacks, modules }: StepChange): string[] {
		const lines: string[] = [];
		const livepatches = new Map<string, string[]>();
		for (const { path, from, to } of sysfs) {
			const [name, ...file] = path.split("/");
			const value = to === undefined ? "gone" : from === undefined ? String(to) : `${from}→${to}`;
			const values = livepatches.get(name!);
			const text = `${file.join("/")} ${value}`;
			if (values === undefined) livepatches.set(name!, [text]);
			else values.push(text);
		}
		for (const [name, values] of livepatches) if (values.every(isGone)) livepatches.set(name, ["gone"]);
		for (const { name, from, to } of modules) {
			const values = livepatches.get(name);
			if (from !== undefined && to !== undefined) livepatches.set(name, [...(values ?? []), `refcount ${from}→${to}`]);
			else if (values === undefined) livepatches.set(name, [to === undefined ? "unloaded" : `loaded, refcount ${to}`]);
		}
		for (const [name, values] of livepatches) {
			const text = wrap(values.join(", "), this.#width - INDENT.length - name.length - 2);
			for (const [index, line] of text.entries()) {
				lines.push(`${index === 0 ? this.#paint("change", name) : " ".repeat(name.length)}  ${line}`);
			}
		}
		append(lines, this.#stackLines(stacks));
		return lines;
	}

	/** Of many func_stacks with which the same happens, the first ones. */
	#stackLines(stacks: readonly StackChange[]): string[] {
		const kinds = groupBy(stacks, ({ func, from, to }) =>
			stacks.length <= ALL_STACKS ? func : `${shapeOf(from)} ${shapeOf(to)}`,
		);
		const lines: string[] = [];
		for (const same of kinds.values()) {
			for (const stack of same.slice(0, STACKS_OF_A_KIND)) append(lines, this.#stackLine(stack));
			const rest = same.slice(STACKS_OF_A_KIND).map(({ func }) => func);
			if (rest.length > 0) lines.push(this.#paint("dim", `${rest.length} functions likewise: ${namesOf(rest)}`));
		}
		return lines;
	}

	#stackLine({ func, from, to }: StackChange): string[] {
		const now = to.length === 0 ? "unpatched" : `func_stack [${to.join(", ")}]`;
		const was = `was [${from.join(", ")}]`;
		const head = `${this.#paint("change", func)}  ${now}`;
		const room = this.#width - INDENT.length - func.length - 2;
		if (from.length === 0) return [head];
		if (now.length + 3 + was.length <= room) return [`${head}   ${this.#paint("dim", was)}`];
		return [head, " ".repeat(func.length + 2) + this.#paint("dim", was)];
	}

	/** The last implementations that each task runs, and its place. */
	#end(): string[] {
		const last = this.#report.steps.at(-1);
		if (last === undefined) return [];
		const rows = Object.entries(last.tasks).map(([task, is]): TaskChange => {
			const still = (value: string) => ({ from: value, to: value, violated: false });
			const views = this.#functions.map((func) => still(is.view[func] ?? "original"));
			return {
				task,
				state: still(is.patch_state),
				in: still(is.in ?? "-"),
				views,
				why: insideOf(task, last),
				tone: "plain",
			};
		});
		const modules = Object.entries(last.modules ?? {}).map(([name, refcount]) => `${name} refcount ${refcount}`);
		const loaded = modules.length === 0 ? [] : this.#block("dim", "modules: ", modules.join(", "));
		return [this.#paint("heading", "At the end"), ...this.#table(rows), ...loaded, ""];
	}

	#verdict(): string[] {
		const { verdict, asExpected, violations, failures, notRun = 0 } = this.#report;
		const good = verdict === "consistent";
		const word = this.#paint(good ? "verdict-good" : "verdict-bad", ` ${verdict.toUpperCase()} `);
		const expected = asExpected ? "as the scenario expects" : "NOT as the scenario expects";
		const lines = [`${word} ${this.#paint(asExpected ? "good" : "bad", expected)}`];
		if (good) lines.push("  Whatever changed for a task changed when that very task switched.");
		append(lines, this.#violationLines(groupViolations(violations)));
		if (failures.length > 0) {
			const what = failures.length === 1 ? "1 expectation does" : `${failures.length} expectations do`;
			lines.push(this.#paint("bad", `  ${what} not hold:`));
		}
		for (const { step, where, message } of failures) {
			append(lines, this.#block("bad", `step ${step}: `, `${message} (${where})`, "    "));
		}
		if (notRun > 0) {
			const what = notRun === 1 ? "1 step behind it was" : `${notRun} steps behind it were`;
			append(lines, this.#block("wait", "", `${what} not run (--keep-going runs them)`, "  "));
		}
		for (const test of this.#report.tests ?? []) append(lines, this.#test(test));
		return lines;
	}

	/** Of many violations of one invariant in one step, the first ones. */
	#violationLines(groups: readonly (readonly ReportViolation[])[]): string[] {
		const lines: string[] = [];
		const kinds = groupBy(groups, ([first]) => `${first!.invariant} ${first!.step}`);
		for (const same of kinds.values()) {
			for (const group of same.slice(0, VIOLATIONS_OF_A_KIND)) append(lines, this.#violation(group));
			const rest = same.slice(VIOLATIONS_OF_A_KIND);
			const { invariant, step } = same[0]![0]!;
			if (rest.length > 0) lines.push(this.#paint("bad", `  ✗ ${invariant} at step ${step}, ${rest.length} more`));
		}
		return lines;
	}

	/** A test of a selftest script, with the differences from the output of a real kernel. */
	#test({ title, ok, diff }: ReportTest): string[] {
		const lines = [this.#paint(ok ? "good" : "bad", `  ${ok ? "ok" : "not ok"}  ${title}`)];
		// Not wrapped: the lines are those of a log.
		for (const line of diff?.split("\n") ?? []) lines.push(`    ${line}`.trimEnd());
		return lines;
	}

	#violation(group: readonly ReportViolation[]): string[] {
		const { invariant, step, func, from, to, message } = group[0]!;
		const action = this.#report.steps.find((each) => each.index === step)?.action ?? "";
		const tasks = group.map((each) => each.task).filter((task) => task !== null);
		const change = from !== null && to !== null ? `${from} → ${to}` : null;
		const move = [func, change].filter((part) => part !== null).join(" ");
		const head = `${invariant} at step ${step}, ${action}${move === "" ? "" : `: ${move}`}`;
		const lines = this.#block("bad", "✗ ", head, "  ");
		if (tasks.length > 0) append(lines, this.#block("dim", "for ", joinNames(tasks), "    "));
		for (const text of new Set(group.map((each) => each.message))) {
			for (const line of wrap(text, this.#width - 4)) lines.push(`    ${line}`);
			// The same cause for each task would only be repeated.
			if (text === message && group.length > 1) break;
		}
		return lines;
	}
}

/** Violations that differ only in the task. */
function groupViolations(violations: readonly ReportViolation[]): ReportViolation[][] {
	const groups = groupBy(violations, ({ invariant, step, func, from, to }) =>
		JSON.stringify([invariant, step, func, from, to]),
	);
	return [...groups.values()];
}
