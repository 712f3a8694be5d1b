import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { KlpemuError } from "../../base/index.js";
import { END_SIGNALS } from "../process-end.js";
import { PROJECT } from "../project.js";
import { staticServer } from "../static-server.js";
import { type Command, EXIT } from "./command.js";

interface ServeOptions {
	readonly port: bigint | undefined;
	readonly folder: string | undefined;
}

const HOST = "127.0.0.1";
const PORT = 8117n;

/** The package leaves out the disassembler's WebAssembly: it is three megabytes, and the package that klpemu depends on has it. */
function disassembler(path: string): string | undefined {
	if (!/^\/assets\/capstone-[\w-]+\.wasm$/.test(path)) return undefined;
	return createRequire(import.meta.url).resolve("@alexaltea/capstone-js/dist/capstone.wasm");
}

export const serveCommand: Command<ServeOptions> = {
	positionals: [],
	options: {
		port: { type: "uint64", value: "PORT", help: `on 127.0.0.1 (default ${PORT}; 0: a free one)` },
		folder: { type: "text", value: "DIR", help: "the page's folder, if it is not that of the package" },
	},
	details: [
		"Prints the address, and serves the page until Ctrl-C. The engine runs in the browser; the server",
		"gives files only, and to this machine only. Any web server can serve the folder, dist/web.",
	],
	async run({ port = PORT, folder = join(PROJECT, "dist", "web") }, _positionals, { stdout }) {
		if (!existsSync(join(folder, "index.html"))) {
			throw new KlpemuError("FILE_MISSING", `there is no page in '${folder}'`, {
				hint: "npm run build:web makes dist/web",
			});
		}
		if (port > 65535n) {
			throw new KlpemuError("CLI_BAD_ARGUMENT", `--port must be 0 to 65535, not ${port}`, { where: "klpemu serve" });
		}
		const server = staticServer(folder, disassembler);
		await new Promise<void>((resolve, reject) => {
			server.once("error", (cause: NodeJS.ErrnoException) => {
				const taken = cause.code === "EADDRINUSE" ? "another program has it" : (cause.code ?? cause.message);
				const hint = "--port 0 takes a free one";
				reject(new KlpemuError("SERVE_PORT", `cannot listen on ${HOST}, port ${port}: ${taken}`, { hint, cause }));
			});
			server.listen(Number(port), HOST, resolve);
		});
		stdout.write(`http://${HOST}:${(server.address() as AddressInfo).port}/\n`);
		await new Promise<void>((resolve) => {
			for (const signal of END_SIGNALS) process.once(signal, () => resolve());
		});
		server.close();
		server.closeAllConnections();
		return EXIT.ok;
	},
};
