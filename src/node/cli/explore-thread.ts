import type { MessagePort } from "node:worker_threads";
import { KlpemuError } from "../../base/index.js";
import { Common } from "../../explore/index.js";
import { parseScenario } from "../../scenario/index.js";
import { type DesignProgress, SharedFlag } from "./explore-control.js";
import { type ExploredDesign, exploreDesign, type SearchSettings } from "./explore-design.js";

/** What a thread for searches gets when it starts. */
export interface ThreadData {
	/** The scenario. */
	readonly text: string;
	readonly designs: readonly string[];
	readonly settings: SearchSettings;
	/** Of a {@link SharedFlag}. */
	readonly stop: Int32Array<SharedArrayBuffer>;
}

/** A message from it, about the design that it was sent last. */
export type ThreadMessage =
	| { readonly at: DesignProgress }
	/** Undefined: all searches were stopped before this one had begun. */
	| { readonly found: ExploredDesign | undefined }
	| {
			readonly error: {
				readonly code: string;
				readonly reason: string;
				readonly where: string | undefined;
				readonly hint: string | undefined;
			};
	  };

/** A thread of `klpemu explore`: it explores each design that it is sent. An error that is no KlpemuError ends it. */
export function serveSearches(port: MessagePort, { text, designs, settings, stop }: ThreadData): void {
	const scenario = parseScenario(text, settings.file, { designs });
	const post = (message: ThreadMessage) => port.postMessage(message);
	const watch = {
		stop: new SharedFlag(stop),
		core: undefined,
		onProgress: (at: DesignProgress) => post({ at }),
		pause: () => undefined,
		common: new Common(),
	};
	port.on("message", (design: string) => {
		if (watch.stop.isSet) return post({ found: undefined });
		exploreDesign(scenario, design, settings, watch).then(
			(found) => post({ found }),
			(error) => {
				if (!(error instanceof KlpemuError)) throw error;
				const { code, reason, where, hint } = error;
				post({ error: { code, reason, where, hint } });
			},
		);
	});
}
