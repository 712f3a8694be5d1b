/** What the page and its worker say to each other. Every message is plain data. */
import type { CheckReport } from "../../../src/check/index.js";
import type { Recording } from "./recording.js";

/** A scenario that lies in the folder, or that the user wrote. */
export interface ScenarioText {
	/** Sources are relative to its folder, and to the root. */
	readonly fileName: string;
	readonly text: string;
}

/** Files of the folder; see tools/web-data.ts, which writes it. */
export interface Manifest {
	readonly scenarios: readonly { readonly path: string; readonly title: string; readonly design: string }[];
	readonly schedules: readonly SavedSchedule[];
	/** By the path of a source, and `PATH (ibt)`: the object's file, below data/. */
	readonly objects: Readonly<Record<string, string>>;
	/** Texts of sources, for the fingerprint of a schedule: their paths; the files lie below data/files/. */
	readonly texts: readonly string[];
	/** By kernel release: the layout's file, below data/. */
	readonly layouts: Readonly<Record<string, string>>;
	/** Assembly of the engine, below data/. */
	readonly engine: string;
}

export interface SavedSchedule {
	/** Below data/. */
	readonly path: string;
	readonly scenario: string;
	readonly design: string;
	readonly invariant: string;
	readonly message: string;
	readonly moves: number;
}

export interface DesignInfo {
	readonly name: string;
	readonly title: string;
	readonly source: string;
}

/** Each request: its arguments and its answer. */
export interface Requests {
	/** Where the folder lies. Must be the first. */
	begin: { arguments: { base: string }; answer: { manifest: Manifest; designs: readonly DesignInfo[] } };
	/** Files of the user, by name: objects, modules, kernel symbol tables. */
	addFiles: { arguments: { files: readonly { name: string; bytes: Uint8Array }[] }; answer: readonly string[] };
	/** A run, if there is no schedule. */
	record: {
		arguments: { scenario: ScenarioText; design: string; schedule: string | undefined };
		answer: Opened;
	};
	/** The schedule of a recording under another design. */
	follow: { arguments: { recording: number; design: string }; answer: Opened };
	/** Forgets a recording. */
	forget: { arguments: { recording: number }; answer: undefined };
	code: { arguments: CodeRequest; answer: readonly CodeLine[] };
	/** Errors of a scenario's text. */
	validate: { arguments: { scenario: ScenarioText }; answer: Problem | undefined };
	explore: {
		arguments: { scenario: ScenarioText; design: string; budget: number; all: boolean };
		answer: Explored;
	};
	/** Ends a running `explore`, which answers with what is known. */
	stop: { arguments: Record<never, never>; answer: undefined };
	check: { arguments: { name: string; against: readonly string[] }; answer: CheckReport };
}

export type RequestKind = keyof Requests;

export interface Opened {
	/** Names the recording in later requests. */
	readonly id: number;
	readonly recording: Recording;
}

export interface CodeRequest {
	readonly recording: number;
	readonly instant: number;
	/** An address in the code that is wanted. */
	readonly address: number;
}

/** One instruction. */
export interface CodeLine {
	readonly address: number;
	/** In hexadecimal. */
	readonly bytes: string;
	readonly text: string;
	/** Names of the code: at its first line. */
	readonly label: string | undefined;
	/** The first bytes are an fentry site. */
	readonly site: boolean;
	/** The address that it calls or jumps to, if it is code that is known. */
	readonly target: number | undefined;
	/** A byte of it came with the event that led to this instant. */
	readonly changed: boolean;
}

/** A KlpemuError, for the page. */
export interface Problem {
	readonly code: string;
	readonly message: string;
	/** `file:line:column` */
	readonly where: string | undefined;
	readonly hint: string | undefined;
}

export interface Explored {
	readonly design: string;
	/** `stopped`: by the user. */
	readonly result: "complete" | "violated" | "bounded" | "stopped";
	readonly states: number;
	readonly transitions: number;
	readonly seconds: number;
	readonly schedules: readonly {
		readonly invariant: string;
		readonly message: string;
		readonly moves: number;
		readonly text: string;
	}[];
	/** Why not all was seen. */
	readonly reason: string | undefined;
}

export interface RequestMessage<K extends RequestKind = RequestKind> {
	readonly id: number;
	readonly kind: K;
	readonly arguments: Requests[K]["arguments"];
}

export type ResponseMessage =
	| { readonly id: number; readonly answer: unknown }
	| { readonly id: number; readonly problem: Problem }
	| { readonly id: number; readonly states: number };
