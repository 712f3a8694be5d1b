import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { answerLine, type CpuFactory, ExecSession } from "../exec/index.js";

/**
 * The line protocol of `klpemu exec`: one JSON request a line, one JSON answer a line, in order. Blank lines are skipped.
 * Resolves to the number of answers when the input ends. Throws only errors after which no
 * further answer is possible, for example `CPU_UNICORN_MISSING`.
 */
export async function runExec(options: { create: CpuFactory; input: Readable; output: Writable }): Promise<number> {
	const session = new ExecSession(options.create);
	let answers = 0;
	try {
		for await (const line of createInterface({ input: options.input, crlfDelay: Number.POSITIVE_INFINITY })) {
			if (line.trim() === "") continue;
			const text = `${JSON.stringify(await answerLine(line, session))}\n`;
			answers++;
			if (!options.output.write(text)) await once(options.output, "drain");
		}
	} finally {
		session.close();
	}
	return answers;
}
