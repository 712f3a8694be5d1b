import { KlpemuError } from "../base/index.js";
import { parseRequest } from "./request.js";
import type { ExecAnswer, ExecSession } from "./session.js";

export interface ExecError {
	readonly error: { readonly code: string; readonly message: string };
}

/** Answers one line. A mistake in the request becomes an error answer; every other error is thrown. */
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
		return { id, error: { code: error.code, message: error.reason } };
	}
}
