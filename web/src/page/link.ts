/** What is shown, as the part of the address behind #: a link reproduces the view, and nothing of it is sent to a server. */

export interface Shown {
	/** A scenario of the folder by its path, or the text of an own one. */
	readonly scenario: string;
	readonly text: string | undefined;
	readonly design: string;
	/** What is beside it: the same schedule under this design, or another schedule (as in `schedule`); empty: nothing. */
	readonly beside: string;
	/** A saved schedule by its path, the text of another one, or `run`. */
	readonly schedule: string;
	/** Instant; undefined: the first violation, or the end. */
	readonly at: number | undefined;
	/** The task whose registers and stack are shown; empty: the page chooses. */
	readonly task: string;
}

export const FIRST: Shown = {
	scenario: "scenarios/hybrid-lp1-lp2-lp3.yaml",
	text: undefined,
	design: "rfc-2025",
	beside: "universe",
	schedule: "schedules/hybrid-lp1-lp2-lp3.rfc-2025.sudden-change.schedule",
	at: undefined,
	task: "",
};

/** Larger texts make no link. */
const MOST_TEXT = 100_000;
const MOST_AT = 1_000_000;

/** Throws if the result has more bytes than `most`: a short link can unpack to gigabytes. */
async function piped(
	bytes: Uint8Array,
	through: CompressionStream | DecompressionStream,
	most: number,
): Promise<Uint8Array> {
	const reader = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(through).getReader();
	const parts: Uint8Array<ArrayBuffer>[] = [];
	for (let length = 0; ; ) {
		const { done, value } = await reader.read();
		if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
		length += value.length;
		parts.push(value);
		if (length > most) {
			await reader.cancel();
			throw new Error("the text in the link is too long");
		}
	}
}

export async function packed(text: string): Promise<string> {
	const bytes = await piped(new TextEncoder().encode(text), new CompressionStream("deflate-raw"), MOST_TEXT);
	return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))
		.replaceAll("+", "-")
		.replaceAll("/", "_")
		.replace(/=+$/, "");
}

export async function unpacked(packedText: string): Promise<string> {
	const binary = atob(packedText.replaceAll("-", "+").replaceAll("_", "/"));
	const bytes = await piped(
		Uint8Array.from(binary, (char) => char.charCodeAt(0)),
		new DecompressionStream("deflate-raw"),
		MOST_TEXT,
	);
	return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

/** The part behind #, without it. */
export async function linkOf(shown: Shown): Promise<string> {
	const { scenario, text, design, beside, schedule, at, task } = shown;
	const parts = new URLSearchParams({ scenario, design });
	if (text !== undefined) parts.set("text", await packed(text));
	if (beside.includes("\n")) parts.set("besideMoves", await packed(beside));
	else parts.set("beside", beside);
	if (schedule.includes("\n")) parts.set("moves", await packed(schedule));
	else parts.set("schedule", schedule);
	if (at !== undefined) parts.set("at", String(at));
	if (task !== "") parts.set("task", task);
	return parts.toString().replaceAll("%2F", "/");
}

/** Throws an Error in words for the reader if the link is damaged. */
export async function readLink(hash: string): Promise<Shown> {
	const parts = new URLSearchParams(hash.replace(/^#/, ""));
	if (!parts.has("scenario")) return FIRST;
	const word = (key: string, fallback: string) => (parts.get(key) ?? fallback).slice(0, 200);
	const inflated = async (key: string) => {
		const value = parts.get(key);
		if (value === null) return undefined;
		try {
			return await unpacked(value);
		} catch {
			throw new Error(`the link is damaged: its '${key}' cannot be unpacked`);
		}
	};
	const at = parts.get("at");
	if (at !== null && !(/^\d+$/.test(at) && Number(at) <= MOST_AT)) {
		throw new Error(`the link is damaged: 'at' must be the number of an instant, not '${at.slice(0, 20)}'`);
	}
	return {
		scenario: word("scenario", FIRST.scenario),
		text: await inflated("text"),
		design: word("design", ""),
		beside: (await inflated("besideMoves")) ?? word("beside", ""),
		schedule: (await inflated("moves")) ?? word("schedule", "run"),
		at: at === null ? undefined : Number(at),
		task: word("task", ""),
	};
}
