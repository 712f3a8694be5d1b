import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { SANDBOX } from "./sandbox.mjs";

/** Test files are loaded anew each time, and stay in memory. */
const LOADS = 600;

/** Milliseconds between two looks at a process that says nothing. */
const LOOK = 2000;
/** Milliseconds without a word after which a process waits for something that does not come. */
const ASLEEP = 600_000;

/** Milliseconds that a process has had a CPU: on a busy machine, time itself says nothing. The clock of /proc has 100 ticks a second. */
function cpuOf(pid) {
	const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
		.replace(/^.*\) /, "")
		.split(" ");
	return (Number(fields[11]) + Number(fields[12])) * 10;
}

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

	/** The answer to an order; `silent` (and the process ends) if nothing comes for so many milliseconds of its CPU's time. */
	async ask(order, limit) {
		this.#loads++;
		return new Promise((resolve) => {
			let [since, cpu] = [Date.now(), this.#cpu()];
			const heard = () => {
				[since, cpu] = [Date.now(), this.#cpu()];
			};
			const timer = setInterval(() => {
				if (this.#cpu() - cpu < limit && Date.now() - since < ASLEEP) return;
				done({ op: "silent" });
				this.end();
			}, LOOK);
			const done = (answer) => {
				clearInterval(timer);
				this.#answer = () => {};
				resolve(answer);
			};
			this.#answer = (message) => (["alive", "ready"].includes(message.op) ? heard() : done(message));
			if (this.#over) done({ op: "ended" });
			else this.#process.send(order);
		});
	}

	#cpu() {
		return this.#over ? 0 : cpuOf(this.#process.pid);
	}

	end() {
		this.#over = true;
		this.#process.kill("SIGKILL");
	}
}
