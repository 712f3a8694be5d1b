/** The worker of the page: the engine, and the recordings that it has made. */
import { KlpemuError } from "../../../src/base/index.js";
import { checkModule } from "../../../src/check/index.js";
import { INVARIANTS } from "../../../src/consistency/index.js";
import { designs } from "../../../src/designs/index.js";
import { formatSchedule, parseSchedule, type Schedule } from "../../../src/explore/index.js";
import { exploreScenario, parseScenario, type Scenario } from "../../../src/scenario/index.js";
import type {
	Explored,
	Opened,
	Problem,
	RequestKind,
	RequestMessage,
	Requests,
	ResponseMessage,
	ScenarioText,
} from "../shared/protocol.js";
import { Assets } from "./assets.js";
import { CodeReader } from "./code.js";
import { followSchedule, type Recorded, recordRun, recordSchedule } from "./record.js";

interface Kept extends Recorded {
	readonly scenario: Scenario;
	readonly schedule: Schedule | undefined;
	readonly code: Recorded["code"];
	readonly reader: CodeReader;
}

type Handlers = {
	readonly [K in RequestKind]: (
		given: Requests[K]["arguments"],
		progress: (states: number) => void,
	) => Requests[K]["answer"] | Promise<Requests[K]["answer"]>;
};

const designNames = designs.map(({ name }) => name);

const parse = ({ text, fileName }: ScenarioText): Scenario => parseScenario(text, fileName, { designs: designNames });

/** All that the worker knows. */
class Engine {
	#assets: Assets | undefined = undefined;
	readonly #kept = new Map<number, Kept>();
	#lastId = 0;
	#stopped = false;

	get #files(): Assets {
		if (this.#assets === undefined) throw new Error("the page must say where its folder lies");
		return this.#assets;
	}

	#recording(id: number): Kept {
		const kept = this.#kept.get(id);
		if (kept === undefined) throw new Error(`there is no recording ${id}`);
		return kept;
	}

	#keep(recorded: Recorded, scenario: Scenario, schedule: Schedule | undefined): Opened {
		const id = ++this.#lastId;
		this.#kept.set(id, { ...recorded, scenario, schedule, reader: new CodeReader(recorded) });
		return { id, recording: recorded.recording };
	}

	readonly handlers: Handlers = {
		begin: async ({ base }) => {
			this.#assets = await Assets.open(base);
			const known = designs.map(({ name, title, source }) => ({ name, title, source }));
			return { manifest: this.#assets.manifest, designs: known };
		},
		addFiles: ({ files }) => {
			for (const { name, bytes } of files) this.#files.own.set(name, bytes);
			return [...this.#files.own.keys()];
		},
		record: async ({ scenario: source, design, schedule: text }) => {
			const scenario = parse(source);
			const host = this.#files.host(source.fileName);
			const schedule = text === undefined ? undefined : parseSchedule(text, "schedule");
			const options = { scenario, design, host };
			const recorded = schedule === undefined ? await recordRun(options) : await recordSchedule(options, schedule);
			return this.#keep(recorded, scenario, schedule);
		},
		follow: async ({ recording, design }) => {
			const { scenario, schedule, recording: original } = this.#recording(recording);
			const host = this.#files.host(scenario.fileName);
			const options = { scenario, design, host };
			const recorded =
				schedule === undefined ? await recordRun(options) : await followSchedule(options, schedule, original);
			return this.#keep(recorded, scenario, undefined);
		},
		forget: ({ recording }) => void this.#kept.delete(recording),
		// The page may ask for code of a recording that it has just forgotten.
		code: ({ recording, instant, address }) => this.#kept.get(recording)?.reader.lines(instant, address) ?? [],
		validate: async ({ scenario }) => {
			try {
				parse(scenario);
				return undefined;
			} catch (error) {
				return problemOf(error);
			}
		},
		explore: (given, progress) => this.#explore(given, progress),
		stop: () => {
			this.#stopped = true;
			return undefined;
		},
		check: async ({ name, against }) => {
			const input = (file: string) => ({ name: file, bytes: this.#files.own.get(file) ?? new Uint8Array() });
			const text = `\0${new TextDecoder("latin1").decode(input(name).bytes)}`;
			const [, release] = /\0vermagic=([^ \0]+)/.exec(text) ?? [];
			const layout = await this.#files.layoutForCheck(release, name);
			return checkModule(input(name), { layout, exactLayout: false, against: against.map(input) });
		},
	};

	async #explore(
		{ scenario: source, design, budget, all }: Requests["explore"]["arguments"],
		progress: (states: number) => void,
	): Promise<Explored> {
		this.#stopped = false;
		const scenario = parse(source);
		const begin = performance.now();
		const { exploration, schedules } = await exploreScenario({
			scenario,
			machine: { host: this.#files.host(source.fileName), design },
			...{ budget, all, reduction: true, invariants: new Set(INVARIANTS) },
			interrupted: () => this.#stopped,
			pause: () => new Promise<void>((resolve) => setTimeout(resolve)),
			onProgress: progress,
		});
		const { result, states, transitions, reason } = exploration;
		return {
			...{ design, states, transitions, reason },
			result: result === "bounded" && this.#stopped ? "stopped" : result,
			seconds: (performance.now() - begin) / 1000,
			schedules: schedules.map((schedule) => ({
				invariant: schedule.invariant,
				message: schedule.message,
				moves: schedule.moves.length,
				text: formatSchedule(schedule),
			})),
		};
	}
}

function problemOf(error: unknown): Problem {
	if (error instanceof KlpemuError) {
		return { code: error.code, message: error.reason, where: error.where, hint: error.hint };
	}
	const text = error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error);
	return { code: "BUG", message: `a bug of klpemu: ${text}`, where: undefined, hint: "please report it" };
}

const engine = new Engine();
const post = (message: ResponseMessage) => postMessage(message);

addEventListener("message", ({ data }: MessageEvent<RequestMessage>) => {
	const { id, kind, arguments: given } = data;
	const handler = engine.handlers[kind] as (given: unknown, progress: (states: number) => void) => unknown;
	Promise.resolve()
		.then(() => handler(given, (states) => post({ id, states })))
		.then(
			(answer) => post({ id, answer }),
			(error: unknown) => post({ id, problem: problemOf(error) }),
		);
});
