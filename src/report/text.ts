import { errnoName } from "../linux/lib/index.js";
import { changes, patchedFunctions, type StepChange, type TaskChange } from "./diff.js";
import { coloured, type Paint, plain, wrap } from "./style.js";
import { joinNames, taskTable } from "./table.js";
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

/** The report for a person. Ends without a newline. */
export function renderReport(report: Report, options: TextOptions = {}): string {
	return new TextReport(report, options).lines().join("\n");
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
		const { scenario, design, cpu, seed, preemption } = this.#report;
		const lines = [
			this.#paint("title", scenario),
			this.#paint("dim", `design ${design} · cpu ${cpu} · seed ${seed} · preemption ${preemption}`),
			"",
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
				// Air around what is more than a line.
				if (step.length > 1 && lines.at(-1) !== "") lines.push("");
				lines.push(...step);
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
		const text = held.length === 1 ? "✓ as expected" : `✓ ${held.length} expectations hold`;
		return `${this.#number(first === last ? String(first) : `${first}-${last}`)}  ${this.#paint("good", text)}`;
	}

	#step(change: StepChange): string[] {
		const { step, changed, unchanged, violations } = change;
		const failures = this.#failuresOf(step);
		const result = step.errno === 0 ? "" : `  ${errnoName(step.errno)}`;
		const quiet = changed.length === 0 && change.sysfs.length === 0 && change.stacks.length === 0;
		// A title is to be found again, not to be explained.
		const mark = /^(state|test): /.test(step.action);
		const fold = !mark && quiet && step.errno === 0 && failures.length === 0 && violations.length === 0;
		const lines = [
			`${this.#number(String(step.index))}  ${this.#paint("heading", step.action)}` +
				this.#paint(failures.length > 0 ? "bad" : "wait", result) +
				(fold ? this.#paint("dim", "  · changes nothing") : ""),
		];
		if (this.#dmesg) lines.push(...step.dmesg.map((line) => this.#paint("dim", `${INDENT}│ ${line}`)));
		lines.push(...this.#facts(change).map((line) => INDENT + line));
		if (changed.length > 0) lines.push(...this.#table(changed));
		if (changed.length > 0 && unchanged.length > 0) {
			lines.push(INDENT + this.#paint("dim", `unchanged: ${joinNames(unchanged, this.#width - 20)}`));
		}
		for (const violation of violations.filter((each) => each.task === null)) {
			lines.push(...this.#block("bad", `✗ ${violation.invariant}: `, violation.message));
		}
		for (const { message, where } of failures) lines.push(...this.#block("bad", "✗ ", `${message} (${where})`));
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

	/** sysfs and func_stacks, as far as they changed. */
	#facts({ sysfs, stacks }: StepChange): string[] {
		const lines: string[] = [];
		const livepatches = new Map<string, string[]>();
		for (const { path, from, to } of sysfs) {
			const [name, ...file] = path.split("/");
			const value = to === undefined ? "gone" : from === undefined ? String(to) : `${from}→${to}`;
			livepatches.set(name!, [...(livepatches.get(name!) ?? []), `${file.join("/")} ${value}`]);
		}
		for (const [name, values] of livepatches) {
			const gone = values.every((value) => value.endsWith(" gone"));
			const text = wrap(gone ? "gone" : values.join(", "), this.#width - INDENT.length - name.length - 2);
			text.forEach((line, index) => {
				lines.push(`${index === 0 ? this.#paint("change", name) : " ".repeat(name.length)}  ${line}`);
			});
		}
		for (const { func, from, to } of stacks) {
			const now = to.length === 0 ? "unpatched" : `func_stack [${to.join(", ")}]`;
			const was = `was [${from.join(", ")}]`;
			const head = `${this.#paint("change", func)}  ${now}`;
			const room = this.#width - INDENT.length - func.length - 2;
			if (from.length === 0) lines.push(head);
			else if (now.length + 3 + was.length <= room) lines.push(`${head}   ${this.#paint("dim", was)}`);
			else lines.push(head, " ".repeat(func.length + 2) + this.#paint("dim", was));
		}
		return lines;
	}

	/** What everybody runs at last. */
	#end(): string[] {
		const last = this.#report.steps.at(-1);
		if (last === undefined) return [];
		const rows = Object.entries(last.tasks).map(([task, is]): TaskChange => {
			const still = (value: string) => ({ from: value, to: value, violated: false });
			const views = this.#functions.map((func) => still(is.view[func] ?? "original"));
			return { task, state: still(is.patch_state), in: still(is.in ?? "-"), views, why: undefined, tone: "plain" };
		});
		return [this.#paint("heading", "At the end"), ...this.#table(rows), ""];
	}

	#verdict(): string[] {
		const { verdict, asExpected, violations, failures } = this.#report;
		const good = verdict === "consistent";
		const word = this.#paint(good ? "verdict-good" : "verdict-bad", ` ${verdict.toUpperCase()} `);
		const expected = asExpected ? "as the scenario expects" : "NOT as the scenario expects";
		const lines = [`${word} ${this.#paint(asExpected ? "good" : "bad", expected)}`];
		if (good) lines.push("  Whatever changed for a task changed when that very task switched.");
		for (const group of groupViolations(violations)) lines.push(...this.#violation(group));
		if (failures.length > 0) {
			const what = failures.length === 1 ? "1 expectation does" : `${failures.length} expectations do`;
			lines.push(this.#paint("bad", `  ${what} not hold:`));
		}
		for (const { step, where, message } of failures) {
			lines.push(...this.#block("bad", `step ${step}: `, `${message} (${where})`, "    "));
		}
		for (const test of this.#report.tests ?? []) lines.push(...this.#test(test));
		return lines;
	}

	/** A test of a selftest script, with what it printed otherwise than a real kernel. */
	#test({ title, ok, diff }: ReportTest): string[] {
		const lines = [this.#paint(ok ? "good" : "bad", `  ${ok ? "ok" : "not ok"}  ${title}`)];
		// Not wrapped: the lines are those of a log.
		if (diff !== null) lines.push(...diff.split("\n").map((line) => `    ${line}`.trimEnd()));
		return lines;
	}

	#violation(group: readonly ReportViolation[]): string[] {
		const { invariant, step, func, from, to, message } = group[0]!;
		const action = this.#report.steps.find((each) => each.index === step)?.action ?? "";
		const tasks = group.map((each) => each.task).filter((task) => task !== null);
		const move = from !== null && to !== null ? `: ${func ?? ""} ${from} → ${to}` : func === null ? "" : `: ${func}`;
		const head = `${invariant} at step ${step}, ${action}${move.replace(":  ", ": ")}`;
		const lines = this.#block("bad", "✗ ", head, "  ");
		if (tasks.length > 0) lines.push(...this.#block("dim", "for ", joinNames(tasks), "    "));
		for (const text of new Set(group.map((each) => each.message))) {
			lines.push(...wrap(text, this.#width - 4).map((line) => `    ${line}`));
			// The same cause in other words for each task would say nothing new.
			if (text === message && group.length > 1) break;
		}
		return lines;
	}
}

/** Violations that differ only in the task. */
function groupViolations(violations: readonly ReportViolation[]): ReportViolation[][] {
	const groups = new Map<string, ReportViolation[]>();
	for (const violation of violations) {
		const { invariant, step, func, from, to } = violation;
		const key = JSON.stringify([invariant, step, func, from, to]);
		groups.set(key, [...(groups.get(key) ?? []), violation]);
	}
	return [...groups.values()];
}
