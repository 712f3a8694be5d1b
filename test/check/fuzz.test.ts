/** Damaged files: the answer is a report or a clear error, soon, and never an exception of the host. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { KlpemuError } from "../../src/base/index.js";
import type { InputFile } from "../../src/check/index.js";
import { LONG } from "../support/sample.js";
import { check, compileC, ko, textFile } from "./ko.js";
import { vmlinux } from "./vmlinux.js";

const target = compileC("__attribute__((__noinline__, __used__)) static long foo(long x) { return x; }");
const FILES: readonly InputFile[] = [
	ko({
		code: 'extern long far(long) __asm__(".klp.sym.vmlinux.far,1"); static int pre(struct klp_object *o) { return 0; }',
		objs: "{ .funcs = funcs, .callbacks = { .pre_patch = pre } }, { }",
		more: "static struct klp_state states[] = { { 5, 1 }, { } };",
		patch: ".mod = THIS_MODULE, .objs = objs, .states = states",
		init: "klp_shadow_alloc(&objs, 3, 8, 0, NULL, NULL);",
	}),
	ko({
		code: "void *kzalloc(u64, int);",
		body: `
static struct klp_func_ext funcs[] SECTION(".init.klp_funcs") = { { "foo", new_foo, 0 } };
static struct klp_object_ext objects[] SECTION(".init.klp_objects") = { { "ext4", funcs, { }, 1 } };
int __init init_module(void) { return klp_enable_patch(kzalloc(200, 0)); }`,
	}),
];
const RUNS = LONG ? 3000 : Number(process.env.KLPEMU_FUZZ ?? 600);

/** Runs the check; anything but a KlpemuError goes on. */
function outcome(file: InputFile, against: readonly InputFile[] = []): "report" | "error" {
	try {
		check(file, against);
		return "report";
	} catch (error) {
		if (error instanceof KlpemuError) return "error";
		throw error;
	}
}

const flips = (length: number) =>
	fc.array(fc.tuple(fc.nat(length - 1), fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255))), {
		minLength: 1,
		maxLength: 6,
	});

function flipped({ name, bytes }: InputFile, changes: readonly (readonly [number, number])[]): InputFile {
	const copy = bytes.slice();
	for (const [at, value] of changes) copy[at] = value;
	return { name, bytes: copy };
}

test.each(FILES.map((file, index): [number, InputFile] => [index, file]))(
	"flipped bytes in module %i",
	(_index, file) => {
		const seen = { report: 0, error: 0 };
		fc.assert(
			fc.property(flips(file.bytes.length), (changes) => {
				seen[outcome(flipped(file, changes))]++;
			}),
			{ numRuns: RUNS, seed: 13 },
		);
		expect(seen.report).toBeGreaterThan(0);
		expect(seen.error).toBeGreaterThan(0);
	},
);

test("a livepatch of 15,000 objects is read, and its findings are cut", () => {
	const one = '{ .name = "ext4", .funcs = funcs },';
	const report = check(ko({ objs: `${one.repeat(15_000)} { }` }));
	expect(report.patches[0]?.objects).toHaveLength(15_000);
	expect(report.findings.filter(({ kind }) => kind === "object-twice").length).toBeLessThanOrEqual(100);
});

test("flipped bytes in the files of --against, and files that are cut", () => {
	const module = { name: "ext4.ko", bytes: target };
	const map = textFile("System.map", ["ffffffff81000020 t same", "ffffffff81000000 T foo"]);
	const kernel = vmlinux({
		entry: "__attribute__((no_instrument_function)) void __fentry__(void) { } void schedule(void) { }",
		code: "void schedule(void); long foo(long x) { schedule(); return x; }",
	});
	for (const file of [module, map, kernel, FILES[0]!]) {
		fc.assert(
			fc.property(flips(file.bytes.length), fc.nat(file.bytes.length), (changes, length) => {
				const cut = { name: file.name, bytes: flipped(file, changes).bytes.subarray(0, length) };
				for (const bad of [flipped(file, changes), cut]) outcome(FILES[0]!, [bad]);
				outcome(cut);
			}),
			{ numRuns: RUNS / 10, seed: 13 },
		);
	}
});
