import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { HelperAnswer, HelperRequest } from "../../explore/index.js";
import { createHelper, parseScenario } from "../../scenario/index.js";
import { nodeHost } from "../host.js";
import { readCore } from "./core-option.js";

/** What a thread gets that helps the search of one design. */
export interface HelperData {
	readonly helps: true;
	/** For {@link HelperRequest} and {@link HelperMessage}. */
	readonly port: MessagePort;
	/** The scenario, and its file. */
	readonly text: string;
	readonly file: string;
	readonly designs: readonly string[];
	readonly design: string | undefined;
	/** File of --core. */
	readonly core: string | undefined;
	readonly cpu: string | undefined;
}

/** A message from it; the first one says that it is ready. */
export type HelperMessage = "ready" | HelperAnswer;

/** A thread that executes for the search of another one. An error ends it. */
export async function serveExecutions(data: HelperData): Promise<void> {
	const { port, text, file, designs, design, cpu } = data;
	const core = await readCore("explore", data.core, undefined);
	const scenario = parseScenario(text, file, { designs });
	const helper = await createHelper(scenario, { host: nodeHost(file), design, cpu, core });
	const post = (message: HelperMessage) => port.postMessage(message);
	port.on("message", (message: HelperRequest) => {
		let request: HelperRequest | undefined = message;
		do {
			if (request !== undefined) helper.ask(request);
			const answer = helper.answer();
			if (answer !== undefined) post(answer);
			// A request does not wait for what follows.
			request = receiveMessageOnPort(port)?.message as HelperRequest | undefined;
		} while (request !== undefined || helper.work());
	});
	post("ready");
}
