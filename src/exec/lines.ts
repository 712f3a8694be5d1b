import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { KlpemuError } from "../base/index.js";
import { parseRequest } from "./request.js";
import { type CpuFactory, type ExecAnswer, ExecSession } from "./session.js";

export interface ExecError {
	readonly error: { readonly code: string; readonly message: string };
}

/** Answers one line. The request's own faults become an error answer; anything else is thrown. */
export async function answerLine(
	line: string,
	session: ExecSession,
): Promise<{ id: unknown } & (ExecAnswer | ExecError)> {
	let value: unknown;
	try {
		value = JSON.parse(line);
	} catch (error) {
		return { id: null, error: { code: "EXEC_JSON", message: `not JSON: ${(error as Error).message}` } };
	}
	const id = (value as { id?: unknown } | null)?.id ?? null;
	try {
		return { id, ...(await session.run(parseRequest(value))) };
	} catch (error) {
		if (!(error instanceof KlpemuError) || error.code.startsWith("CPU_")) throw error;
		return { id, error: { code: error.code, message: error.message } };
	}
}

/**
 * The line protocol of `klpemu exec`: one JSON request a line, one JSON answer a line, in order. Blank lines are skipped.
 * Resolves to the number of answers when the input ends. Throws only what makes every further answer impossible, for
 * example `CPU_UNICORN_MISSING`.
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
