/** The throughput of `klpemu exec` with short programs that are all different, as a fuzzer sends them. */
import { Readable, Writable } from "node:stream";
import { createCpu, runExec } from "../../src/node/index.js";

export interface ExecResult {
	readonly perSecond: number;
	/** Growth of the process's memory in the second half. */
	readonly megabytes: number;
}

const AT = "0xffffffff81000000";
const LINES_PER_CHUNK = 100;

export async function execRequests(count: number): Promise<ExecResult> {
	const output = new Writable({ write: (_chunk, _encoding, done) => done() });
	let halfway = 0;
	function* chunks(): Generator<string> {
		for (let id = 0; id < count; id += LINES_PER_CHUNK) {
			if (halfway === 0 && 2 * id >= count) halfway = process.memoryUsage().rss;
			yield Array.from({ length: LINES_PER_CHUNK }, (_, n) => `${request(id + n)}\n`).join("");
		}
	}
	const start = process.hrtime.bigint();
	const create = (memory: Parameters<typeof createCpu>[1]) => createCpu("jit", memory);
	const answers = await runExec({ create, input: Readable.from(chunks()), output });
	const seconds = Number(process.hrtime.bigint() - start) / 1e9;
	return { perSecond: answers / seconds, megabytes: (process.memoryUsage().rss - halfway) / 1e6 };
}

/** mov eax, ID; add rax, rbx; shl eax, 3; sub rcx, rax; mov rbp, rsp */
function request(id: number): string {
	const constant = Buffer.alloc(4);
	constant.writeUInt32LE(id);
	const code = `b8${constant.toString("hex")}4801d8c1e0034829c14889e5`;
	return JSON.stringify({ id, code, at: AT, regs: { rbx: "7" } });
}
