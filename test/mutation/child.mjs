import { fork } from "node:child_process";
import { SANDBOX } from "./sandbox.mjs";

/** Test files are loaded anew each time, and stay in memory. */
const LOADS = 600;

/** A process of runner.mjs, in the sandbox. It answers each order once; in between it says that it is alive. */
export class Child {
	#process;
	#answer = () => {};
	#loads = 0;
	#over = false;

	constructor(env = {}) {
		this.#process = fork(`${SANDBOX}/test/mutation/runner.mjs`, {
			cwd: SANDBOX,
			env: { ...process.env, ...env },
			execArgv: ["--max-old-space-size=4096"],
			stdio: ["ignore", "ignore", "ignore", "ipc"],
		});
		this.#process.on("message", (message) => this.#answer(message));
		this.#process.on("exit", () => {
			this.#over = true;
			this.#answer({ op: "ended" });
		});
	}

	get isOver() {
		return this.#over;
	}
	get isOld() {
		return this.#loads > LOADS;
	}

	/** The answer to an order; `silent` (and the process ends) if nothing comes for so many milliseconds. */
	async ask(order, limit) {
		this.#loads++;
		return new Promise((resolve) => {
			let timer;
			const done = (answer) => {
				clearTimeout(timer);
				this.#answer = () => {};
				resolve(answer);
			};
			const wait = () => {
				clearTimeout(timer);
				timer = setTimeout(() => {
					done({ op: "silent" });
					this.end();
				}, limit);
			};
			this.#answer = (message) => (["alive", "ready"].includes(message.op) ? wait() : done(message));
			wait();
			if (this.#over) done({ op: "ended" });
			else this.#process.send(order);
		});
	}

	end() {
		this.#over = true;
		this.#process.kill("SIGKILL");
	}
}
