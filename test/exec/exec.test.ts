import { PassThrough, Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { CPU_NAMES, createCpu, runExec } from "../../src/node/index.js";
import { LONG } from "../support/sample.js";

const AT = "0xffffffff81000000";

describe.each(CPU_NAMES)("klpemu exec --cpu %s", (cpu) => {
	async function exec(lines: readonly unknown[]): Promise<Record<string, unknown>[]> {
		const output = new PassThrough();
		const chunks: Buffer[] = [];
		output.on("data", (chunk: Buffer) => chunks.push(chunk));
		const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
		await runExec({ create: (memory) => createCpu(cpu, memory), input: Readable.from([text]), output });
		return Buffer.concat(chunks)
			.toString()
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line) as Record<string, unknown>);
	}

	async function one(line: unknown): Promise<Record<string, unknown>> {
		return (await exec([line]))[0]!;
	}

	test("runs to the end of the code", async () => {
		// add rax, rbx
		const answer = await one({ id: "a", code: "4801d8", at: AT, regs: { rax: "0xffffffffffffffff", rbx: "1" } });
		expect(answer).toMatchObject({ id: "a", exit: "end", regs: { rax: "0x0", rbx: "0x1", rip: "0xffffffff81000003" } });
		expect(answer.regs).toHaveProperty("rflags", "0x257");
		expect(Object.keys(answer.regs as object)).toHaveLength(18);
	});

	test("the end of the code may be the end of a mapped page", async () => {
		const answer = await one({ id: 1, code: "90".repeat(4096), at: AT });
		expect(answer).toMatchObject({ exit: "end", regs: { rip: "0xffffffff81001000" } });
	});

	test("writes memory and gives it back", async () => {
		// mov [rdi], rax; push rax
		const answer = await one({
			id: 1,
			code: "48890750",
			at: "0x400000",
			regs: { rax: "0x1122334455667788", rdi: "0x600ffc", rsp: "0x700008" },
			mem: [
				{ addr: "0x600ff0", hex: "00".repeat(32) },
				{ addr: "0x700000", hex: "ff".repeat(8), perm: "rw" },
			],
		});
		expect(answer.mem).toEqual([
			{ addr: "0x600ff0", hex: `${"00".repeat(12)}8877665544332211${"00".repeat(12)}` },
			{ addr: "0x700000", hex: "8877665544332211" },
		]);
	});

	test("stops at the limit, before the next instruction", async () => {
		// 1: inc rax; jmp 1b
		const answer = await one({ id: 1, code: "48ffc0ebfb", at: AT, limit: 7 });
		expect(answer).toMatchObject({ exit: "limit", regs: { rax: "0x4", rip: "0xffffffff81000003" } });
		expect(await one({ id: 1, code: "90", at: AT, limit: 0 })).toMatchObject({ exit: "limit", regs: { rip: AT } });
	});

	test.each([
		["divide-error", "48f7f1", {}, undefined],
		["invalid-opcode", "0f0b", {}, undefined],
		["breakpoint", "cc", {}, undefined],
		["page-fault", "488b07", { rdi: "0x123456789000" }, "0x123456789000"],
		["page-fault", "488907", { rdi: AT }, AT],
		["page-fault", "ffe0", { rax: "0x500000" }, "0x500000"],
		["general-protection", "488b07", { rdi: "0x8000000000000000" }, undefined],
	])("%s of %s", async (kind, code, regs, address) => {
		const answer = await one({ id: 1, code, at: AT, regs: { rcx: "0", ...regs } });
		expect(answer.exit).toBe("fault");
		expect(answer.fault).toEqual(address === undefined ? { kind } : { kind, address });
		if (code !== "ffe0") expect(answer.regs).toHaveProperty("rip", AT);
	});

	test("wrong lines are answered, and the next ones too", async () => {
		const answers = await exec([
			"{",
			"[]",
			{ id: 7, code: "9", at: AT },
			{ id: 8, code: "90", at: "0x1ffffffffffffffff" },
			{ id: 9, code: "90", at: AT, regs: { eax: "0" } },
			{ id: 10, code: "90", at: AT, mem: [{ addr: "0", hex: "00", perm: "wr" }] },
			{ id: 11, code: "90", at: AT, bytes: 1 },
			{ id: 12, code: "90", at: AT, limit: -1 },
			{ id: 13, code: "90", at: AT, regs: { rflags: "0x100" } },
			{ id: 14, code: "90", at: "0x800000000000" },
			{ id: 15, code: "90", at: AT },
		]);
		expect(answers.map(({ id, error }) => [id, (error as { code: string } | undefined)?.code])).toEqual([
			[null, "EXEC_JSON"],
			[null, "EXEC_REQUEST"],
			...[7, 8, 9, 10, 11, 12, 13, 14].map((id) => [id, "EXEC_REQUEST"]),
			[15, undefined],
		]);
		const message = (index: number) => (answers[index]!.error as { message: string }).message;
		expect(message(2)).toBe("'code' must be bytes in hexadecimal, two digits each");
		expect(message(4)).toMatch(/unknown key 'eax'/);
	});

	test("a wrong request is answered by what is wrong in it, and what it must be", async () => {
		const number = (what: string, not: string) =>
			`'${what}' must be a 64-bit number such as "0xffffffff81000000", not ${not}`;
		const wrong: readonly (readonly [object, string])[] = [
			[{ at: { a: 1 } }, number("at", "an object")],
			[{ at: [1] }, number("at", "an array")],
			[{ at: null }, number("at", "null")],
			[{ at: 2 ** 60 }, number("at", String(2 ** 60))],
			[{ regs: { rax: -1 } }, number("regs.rax", "-1")],
			[{ mem: {} }, "'mem' must be an array"],
			[{ mem: [{ addr: "0x1000", hex: "" }] }, "'mem[0].hex' is empty"],
			[{ mem: [{ addr: "0xffffffffffffffff", hex: "0000" }] }, "'mem[0]' runs past the end of the address space"],
			[{ mem: [{ addr: "0x7fffffffffff", hex: "0000" }] }, "'mem[0]' is at a non-canonical address"],
			[{ mem: [{ addr: "0x1000", hex: "00", perm: "wr" }] }, `'mem[0].perm' must be some of "rwx", not "wr"`],
			[
				{ mem: [{ addr: "0x10000", hex: "00".repeat(16 << 20) }] },
				"16777217 bytes of code and memory, at most 16777216",
			],
		];
		const answers = await exec(wrong.map(([request]) => ({ id: 1, code: "90", at: AT, ...request })));
		const messages = answers.map(({ error }) => (error as { message: string }).message);
		expect(messages).toEqual(wrong.map(([, message]) => expect.stringContaining(message)));
	});

	test("memory that is only read, and memory that is executed", async () => {
		const codes = [
			["48c70001000000", "r", "page-fault"],
			["ffe0", "rx", "invalid-opcode"],
			["ffe0", "rw", "page-fault"],
		] as const;
		for (const [code, perm, kind] of codes) {
			const mem = [{ addr: "0x10000", hex: "0f0b", perm }];
			expect(await one({ id: 1, code, at: AT, regs: { rax: 0x10000 }, mem })).toMatchObject({ fault: { kind } });
		}
	});

	test("values that are nested deeply are answered, and so are lines that are too long", async () => {
		const deep = "[".repeat(200_000) + "]".repeat(200_000);
		const fields = ["id", "code", "at", "regs", "mem", "limit", "x"].map(
			(key) => `{"code":"90","at":"${AT}","${key}":${deep}}`,
		);
		const answers = await exec([
			deep,
			deep.slice(0, -1),
			...fields,
			`{"code":"90","at":"${AT}","regs":{"rax":${deep}}}`,
			`{"code":"90","at":"${AT}","mem":[{"addr":"0x10000","hex":${deep},"perm":${deep}}]}`,
			`{"id":1,"code":"${"90".repeat(26 << 20)}","at":"${AT}"}`,
			{ id: 2, code: "90", at: AT },
		]);
		const codes = answers.map(({ error }) => (error as { code: string } | undefined)?.code);
		expect(codes).toEqual(["EXEC_REQUEST", "EXEC_JSON", ...Array(10).fill("EXEC_REQUEST"), undefined]);
		for (const { error } of answers.slice(0, -1))
			expect((error as { message: string }).message.length).toBeLessThan(300);
	});

	test("many lines in one process, with memory of every size", async () => {
		const count = LONG ? 2000 : 200;
		const lines = Array.from({ length: count }, (_, id) => ({
			id,
			code: "48ffc0",
			at: AT,
			regs: { rax: `${id}` },
			mem: [{ addr: "0x10000000", hex: "00".repeat(1 + (id % 7) * 4096) }],
		}));
		const answers = await exec(lines);
		expect(answers).toHaveLength(count);
		for (const { id, regs } of answers) expect(BigInt((regs as { rax: string }).rax)).toBe(BigInt(id as number) + 1n);
	});
});
