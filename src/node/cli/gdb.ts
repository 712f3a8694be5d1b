import { dirname, resolve } from "node:path";
import { KlpemuError } from "../../base/index.js";
import { designs } from "../../designs/index.js";
import { parseScenario } from "../../scenario/index.js";
import { CPU_NAMES } from "../cpus.js";
import { readText } from "../files.js";
import { objectFor } from "../gcc.js";
import { nodeHost, toStderr } from "../host.js";
import { END_SIGNALS } from "../process-end.js";
import { type Command, EXIT } from "./command.js";
import { coreOption, readCore } from "./core-option.js";

export interface GdbOptions {
	readonly port: bigint | undefined;
	readonly once: boolean;
	readonly design: string | undefined;
	readonly core: string | undefined;
	readonly cpu: string | undefined;
	readonly seed: bigint | undefined;
}

const designNames = designs.map(({ name }) => name);
const MAX_PORT = 65_535n;

export const gdbCommand: Command<GdbOptions> = {
	positionals: [{ name: "FILE", help: "a scenario, YAML" }],
	options: {
		port: { type: "uint64", value: "PORT", help: "on 127.0.0.1; 0 (the default) takes a free one, and prints it" },
		once: { type: "flag", help: "end when the first client leaves" },
		design: { type: "text", value: "DESIGN", help: "instead of the scenario's", choices: () => designNames },
		core: coreOption,
		cpu: { type: "text", value: "CPU", help: CPU_NAMES.join(" or "), choices: () => [...CPU_NAMES] },
		seed: { type: "uint64", value: "N", help: "seed of the schedule, instead of the scenario's" },
	},
	details: [
		"Serves a run of the scenario to gdb, forwards and backwards (docs/traces.md). Tasks are threads.",
		"Sources are compiled with -g, if there is a gcc: otherwise gdb has symbols, but no lines.",
		"monitor help, in gdb, lists the commands of its own. Ctrl-C ends.",
		"Exit status: 0 ended by Ctrl-C or, with --once, by the client; 2 bad input.",
		"",
		"Example:",
		"  klpemu gdb scenarios/hybrid-lp1-lp2-lp3.yaml --port 1234",
		"  gdb -ex 'target remote :1234' -ex 'break lp2_funcB' -ex continue -ex bt",
	],
	async run({ port = 0n, once, design, core: coreFile, cpu, seed }, [file], { stdout }) {
		if (port > MAX_PORT) {
			const hint = "a number from 0 to 65535";
			throw new KlpemuError("CLI_BAD_ARGUMENT", `--port: ${port} is no port`, { where: "klpemu gdb", hint });
		}
		const scenario = parseScenario(await readText(file!), file!, { designs: designNames });
		const core = await readCore("gdb", coreFile, design);
		const { Player, serveGdb } = await import("../gdb/index.js");
		const player = await Player.record(scenario, {
			host: debugHost(file!),
			stopAtFailure: true,
			design,
			core,
			cpu,
			seed,
		});
		const server = await serveGdb(player, Number(port)).catch((error: unknown) => {
			player.close();
			throw error;
		});
		stdout.write(`klpemu gdb: port ${server.port} of 127.0.0.1; in gdb: target remote :${server.port}\n`);
		const ended = whenSignalled();
		try {
			let left = false;
			while (!(left && once) && !ended.signal.aborted) {
				await Promise.race([server.clientLeft(), ended.promise]);
				left = true;
			}
		} finally {
			ended.letGo();
			await server.close();
			player.close();
		}
		return EXIT.ok;
	},
};

function whenSignalled() {
	const control = new AbortController();
	const end = () => control.abort();
	for (const signal of END_SIGNALS) process.once(signal, end);
	return {
		signal: control.signal,
		promise: new Promise<void>((done) => control.signal.addEventListener("abort", () => done(), { once: true })),
		letGo: () => {
			for (const signal of END_SIGNALS) process.removeListener(signal, end);
		},
	};
}

/** Compiles with debug information, and each source once: the scenario is run again and again. */
function debugHost(file: string): ReturnType<typeof nodeHost> {
	const folder = dirname(resolve(file));
	const objects = new Map<string, ReturnType<typeof objectFor>>();
	return {
		...nodeHost(file),
		async loadObject(path, options) {
			const key = `${path} ${options.ibt}`;
			const known = objects.get(key);
			if (known !== undefined) return known;
			const made = objectFor(path, { ...options, folder, debug: true });
			objects.set(key, made);
			const { warnings } = await made;
			if (warnings !== "") toStderr(warnings);
			return made;
		},
	};
}
