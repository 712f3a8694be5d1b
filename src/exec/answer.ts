import { KlpemuError } from "../base/index.js";
import { MAX_BYTES, parseRequest } from "./request.js";
import type { ExecAnswer, ExecSession } from "./session.js";

export interface ExecError {
	readonly error: { readonly code: string; readonly message: string };
}

/** Characters that a line may have: enough for {@link MAX_BYTES} in hexadecimal. */
export const MAX_LINE = 3 * MAX_BYTES;

/** The answer to a line that has more characters. */
export function lineTooLong(): { id: null } & ExecError {
	return { id: null, error: { code: "EXEC_REQUEST", message: `the line has more than ${MAX_LINE} characters` } };
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
	if (typeof id === "object" && id !== null) {
		return { id: null, error: { code: "EXEC_REQUEST", message: "'id' must be a string or a number" } };
	}
	try {
		return { id, ...(await session.run(parseRequest(value))) };
	} catch (error) {
		if (!(error instanceof KlpemuError) || error.code.startsWith("CPU_")) throw error;
		return { id, error: { code: error.code, message: error.reason } };
	}
}
