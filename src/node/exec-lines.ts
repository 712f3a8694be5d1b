import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { answerLine, type CpuFactory, ExecSession, lineTooLong, MAX_LINE } from "../exec/index.js";

/** Answers are written together until they have this many characters, or until all input that is there is answered. */
const WRITE_AT = 1 << 16;

/**
 * The line protocol of `klpemu exec`: one JSON request a line, one JSON answer a line, in order. Blank lines are skipped.
 * Resolves to the number of answers when the input ends. Throws only errors after which no
 * further answer is possible, for example `CPU_UNICORN_MISSING`. The input is not read faster than it is answered.
 */
export async function runExec(options: { create: CpuFactory; input: Readable; output: Writable }): Promise<number> {
	const { input, output } = options;
	const session = new ExecSession(options.create);
	let answers = 0;
	let pending = "";
	const flush = async (): Promise<void> => {
		const text = pending;
		pending = "";
		if (text !== "" && !output.write(text)) await once(output, "drain");
	};
	try {
		for await (const lines of linesOf(input)) {
			for (const line of lines) {
				if (line?.trim() === "") continue;
				pending += `${JSON.stringify(line === undefined ? lineTooLong() : await answerLine(line, session))}\n`;
				answers++;
				if (pending.length >= WRITE_AT) await flush();
			}
			await flush();
		}
	} finally {
		session.close();
	}
	return answers;
}

/** The lines that end in each piece of the input; undefined for one that is longer than {@link MAX_LINE}. */
async function* linesOf(input: Readable): AsyncGenerator<readonly (string | undefined)[]> {
	const decoder = new StringDecoder("utf8");
	let rest: string[] = [];
	let length = 0;
	const take = (): string | undefined => {
		const line = length > MAX_LINE ? undefined : rest.join("");
		rest = [];
		length = 0;
		return line?.endsWith("\r") ? line.slice(0, -1) : line;
	};
	const add = (text: string): void => {
		length += text.length;
		if (length > MAX_LINE) rest = [];
		else rest.push(text);
	};
	for await (const chunk of input) {
		const parts = (typeof chunk === "string" ? chunk : decoder.write(chunk as Buffer)).split("\n");
		const last = parts.pop()!;
		const lines = parts.map((part) => {
			add(part);
			return take();
		});
		add(last);
		if (lines.length > 0) yield lines;
	}
	add(decoder.end());
	if (length > 0) yield [take()];
}
