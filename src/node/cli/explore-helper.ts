import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { type FollowRequest, type HelperAnswer, type HelperRequest, RemoteFollower } from "../../explore/index.js";
import { createHelper, parseScenario } from "../../scenario/index.js";
import { nodeHost } from "../host.js";
import { readCore } from "./core-option.js";

/** What a thread gets that helps the search of one design. */
export interface HelperData {
	readonly helps: true;
	/** For {@link HelperThreadRequest} and {@link HelperMessage}. */
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

/** What it is to execute, or known moves that it is to follow. */
export type HelperThreadRequest = HelperRequest | { readonly follow: FollowRequest };

/** A message from it; the first one says that it is ready. `followed`: a state was marked, see {@link RemoteFollower}. */
export type HelperMessage = "ready" | HelperAnswer | { readonly followed: boolean };

/** A thread that executes for the search of another one, and follows known moves. An error ends it. */
export async function serveExecutions(data: HelperData): Promise<void> {
	const { port, text, file, designs, design, cpu } = data;
	const core = await readCore("explore", data.core, undefined);
	const scenario = parseScenario(text, file, { designs });
	const helper = await createHelper(scenario, { host: nodeHost(file), design, cpu, core });
	const post = (message: HelperMessage) => port.postMessage(message);
	const follower = new RemoteFollower();
	const take = (message: HelperThreadRequest) => {
		if ("follow" in message) post({ followed: follower.take(message.follow) });
		else helper.ask(message);
	};
	port.on("message", (message: HelperThreadRequest) => {
		let request: HelperThreadRequest | undefined = message;
		do {
			if (request !== undefined) take(request);
			const answer = helper.answer();
			if (answer !== undefined) post(answer);
			// A request does not wait for what follows.
			request = receiveMessageOnPort(port)?.message as HelperThreadRequest | undefined;
		} while (request !== undefined || helper.work());
	});
	post("ready");
}
