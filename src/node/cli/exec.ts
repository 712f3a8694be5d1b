import type { Readable, Writable } from "node:stream";
import { CPU_NAMES, createCpu, DEFAULT_CPU } from "../cpus.js";
import { runExec } from "../exec-lines.js";
import { type Command, EXIT } from "./command.js";

export interface ExecOptions {
	readonly cpu: string | undefined;
}

export const execCommand: Command<ExecOptions> = {
	positionals: [],
	options: {
		cpu: { type: "text", value: "CPU", help: CPU_NAMES.join(" or "), choices: () => CPU_NAMES },
	},
	details: [
		'A request: {"id":1,"code":"<hex>","at":"0xffffffff81000000","regs":{"rax":"0x1"},',
		'            "mem":[{"addr":"0x..","hex":"..","perm":"rw"}],"limit":100}',
		'An answer: {"id":1,"exit":"end"|"limit"|"fault","regs":{..},"mem":[..],',
		'           "fault":{"kind":"..","address":"0x.."}}',
		'A line that is wrong is answered by {"id":1,"error":{"code","message"}} and the next one is read.',
		"",
		"Example:",
		`  echo '{"id":1,"code":"4801d8","at":"0x10000","regs":{"rax":"1","rbx":"2"}}' | klpemu exec`,
	],
	async run({ cpu }, _positionals, io) {
		const create = (memory: Parameters<typeof createCpu>[1]) => createCpu(cpu ?? DEFAULT_CPU, memory);
		await runExec({ create, input: io.stdin as Readable, output: io.stdout as unknown as Writable });
		return EXIT.ok;
	},
};
