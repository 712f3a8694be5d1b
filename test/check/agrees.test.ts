/** What check says of a refusal is what happens: the same files are loaded on the emulated machine, with both livepatch cores. */
import { describe, expect, test } from "vitest";
import { type InputFile, KINDS, type KindName } from "../../src/check/index.js";
import { parseElf } from "../../src/elf/index.js";
import { errnoName } from "../../src/linux/lib/index.js";
import { kernelCore } from "../support/kernel-core.js";
import { createTestMachine, type TestMachine } from "../support/machine.js";
import { sample } from "../support/sample.js";
import { FAULTS } from "./faults.js";
import { klpKo, VMLINUX_SECTION } from "./klp-ko.js";
import { check, ko, layout } from "./ko.js";

/**
 * Not comparable: the machine's loader has clear errors of its own for what is no module; it has no licences and knows common symbols;
 * the machine's kernel has no function with a cold piece.
 */
const NOT_COMPARED: readonly string[] = ["no-this-module", "no-vermagic", "not-gpl", "common-symbol", "no-call-site"];

const OLD = { old: "funcA" };

const refused = FAULTS.map(([kinds, faulty, dmesg], index) => ({
	kind: kinds.split(" ")[0]!,
	faulty,
	dmesg,
	index,
})).filter(({ kind }) => KINDS[kind as KindName]?.weight === "refused" && !NOT_COMPARED.includes(kind));

/** A kernel that reads on behind an array, or reads a name that is none, may do anything. */
const UNDEFINED = ["funcs-shared", "no-terminator", "name-no-text"];
/** The machine does not have the functions that these call. */
const NO_SYMBOL = ["new-func-itself", "noreturn-end", "cold-piece", "cold-sleeps"];
const NOT_LOADED: readonly string[] = [...UNDEFINED, ...NO_SYMBOL];

const loaded = FAULTS.map(([kinds, faulty], index) => ({
	kind: kinds.split(" ")[0] as KindName,
	faulty,
	index,
})).filter(({ kind }) => KINDS[kind].weight !== "refused" && !NOT_LOADED.includes(kind));
/**
 * The same for livepatch relocations, which are applied while the module is loaded. Not compared: klp-sym-converter, which the machine
 * refuses with the words for a malformed name, while the kernel looks for an object 'rela'.
 */
const RELOCATIONS: readonly (readonly [kind: KindName, file: () => InputFile, dmesg: string])[] = [
	[
		"klp-sym-unmarked",
		() => klpKo("vmlinux.funcB,0", VMLINUX_SECTION, OLD, (elf) => elf.moveSymbols(".klp.sym.", 0xfff1)),
		"livepatch: symbol .klp.sym.vmlinux.funcB,0 is not marked as a livepatch symbol",
	],
	[
		"klp-sym-format",
		() => klpKo("vmlinux.funcB", VMLINUX_SECTION, OLD),
		"livepatch: symbol .klp.sym.vmlinux.funcB has an incorrectly formatted name",
	],
];

function load(machine: TestMachine, { name, bytes }: InputFile): { errno: string; dmesg: string[] } {
	const errno = machine.it.shell.insmod(name.replace(".ko", ""), [parseElf(bytes, name)]);
	return { errno: errnoName(errno), dmesg: machine.dmesg() };
}

async function machineOf(which: string, skip: (note?: string) => never): Promise<TestMachine> {
	const core = which === "compiled" ? await kernelCore(skip) : undefined;
	return createTestMachine({ kernel: true, kernelLayout: layout, ...(core && { core }) });
}

/** An address, or the rest of a message that check does not know. */
const pattern = (dmesg: string): RegExp =>
	new RegExp(
		dmesg
			.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")
			.replaceAll("foo", "funcA")
			.replaceAll("…", ".*"),
	);

describe.each(["typescript", "compiled"])("the %s core", (which) => {
	// A machine with the compiled core takes ten times as long to make.
	const some = <T>(list: readonly T[]): T[] => sample(list, which === "compiled" ? 5 : 1);

	test("a livepatch that is right is enabled", async ({ skip }) => {
		const machine = await machineOf(which, skip);
		expect(check(ko(OLD)).verdict).toBe("clean");
		expect(load(machine, ko(OLD))).toMatchObject({ errno: "0" });
		machine.close();
	});

	for (const { kind, faulty, dmesg, index } of some(refused)) {
		test(`${kind}, row ${index}`, async ({ skip }) => {
			const machine = await machineOf(which, skip);
			const seen = load(machine, ko({ ...faulty, ...OLD }));
			machine.close();
			expect(seen.errno).toBe(KINDS[kind as KindName]?.errno);
			if (dmesg !== undefined) expect(seen.dmesg).toContainEqual(expect.stringMatching(pattern(dmesg)));
		});
	}

	for (const { kind, faulty, index } of some(loaded)) {
		test(`${kind}, row ${index}, is loaded`, async ({ skip }) => {
			const machine = await machineOf(which, skip);
			const seen = load(machine, ko({ ...faulty, ...OLD }));
			machine.close();
			expect(seen).toMatchObject({ errno: "0" });
		});
	}

	// The compiled core does not apply livepatch relocations yet: it refuses such a module (CORE_RELOCATIONS).
	for (const [kind, file, dmesg] of which === "compiled" ? [] : RELOCATIONS) {
		test(kind, async ({ skip }) => {
			const machine = await machineOf(which, skip);
			const [finding] = check(file()).findings;
			expect(finding).toMatchObject({ kind, dmesg });
			const seen = load(machine, file());
			machine.close();
			expect(seen.errno).toBe(finding?.errno);
			expect(seen.dmesg).toContain(dmesg);
		});
	}
});
