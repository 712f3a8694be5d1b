/** The kernel's own livepatches, as its own build makes them: nothing is wrong in them, and the remarks are right. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { checkModule, type InputFile } from "../../src/check/index.js";
import { parseKernelCore } from "../../src/linux/klp-c/index.js";
import { KERNEL_CORE, KERNEL_KO, NO_KERNEL_CORE, skipBecause } from "../support/skip.js";

const HEADERS = "/usr/src";
const NO_SYMVERS = `no ${HEADERS}/linux-headers-*/Module.symvers: apt-get install linux-headers-6.12-cloud-amd64`;

/** What there is to say about a module, by its file; nothing about the others. */
const BUSY = "holds-up: the old function calls msleep(): sleeps for a time";
const REMARKS: Readonly<Record<string, readonly string[]>> = {
	"livepatch-callbacks-demo.ko": [BUSY],
	"test_klp_callbacks_demo.ko": [BUSY],
	"test_klp_atomic_replace.ko": ["set-at-run-time: test_klp_atomic_replace_init() sets klp_patch.replace"],
	"test_klp_callbacks_demo2.ko": ["set-at-run-time: test_klp_callbacks_demo2_init() sets klp_patch.replace"],
	"test_klp_syscall.ko": ["holds-up: lp_sys_getpid calls mutex_lock(): sleeps until a lock is free"],
};

/** Objects and functions of a livepatch: `vmlinux: old -> new`. */
const PATCHES: Readonly<Record<string, readonly string[]>> = {
	"livepatch-callbacks-demo.ko": [
		"vmlinux:",
		"livepatch_callbacks_mod:",
		"livepatch_callbacks_busymod: busymod_work_func -> patched_work_func",
	],
	"livepatch-sample.ko": ["vmlinux: cmdline_proc_show -> livepatch_cmdline_proc_show"],
	"livepatch-shadow-fix1.ko": [
		"livepatch_shadow_mod: dummy_alloc -> livepatch_fix1_dummy_alloc, dummy_free -> livepatch_fix1_dummy_free",
	],
	"livepatch-shadow-fix2.ko": [
		"livepatch_shadow_mod: dummy_check -> livepatch_fix2_dummy_check, dummy_free -> livepatch_fix2_dummy_free",
	],
	"test_klp_atomic_replace.ko": ["vmlinux: meminfo_proc_show -> livepatch_meminfo_proc_show"],
	"test_klp_callbacks_demo.ko": [
		"vmlinux:",
		"test_klp_callbacks_mod:",
		"test_klp_callbacks_busy: busymod_work_func -> patched_work_func",
	],
	"test_klp_callbacks_demo2.ko": ["vmlinux:"],
	"test_klp_livepatch.ko": ["vmlinux: cmdline_proc_show -> livepatch_cmdline_proc_show"],
	"test_klp_state.ko": ["vmlinux:"],
	"test_klp_state2.ko": ["vmlinux:"],
	"test_klp_state3.ko": ["vmlinux:"],
	"test_klp_syscall.ko": ["vmlinux: __x64_sys_getpid -> lp_sys_getpid"],
};

function read(folder: string, name: string): InputFile {
	return { name, bytes: new Uint8Array(readFileSync(join(folder, name))) };
}

function symvers(): InputFile | undefined {
	const { layout } = parseKernelCore(new Uint8Array(readFileSync(KERNEL_CORE)), KERNEL_CORE);
	const folder = join(HEADERS, `linux-headers-${layout.release}`);
	return existsSync(join(folder, "Module.symvers")) ? read(folder, "Module.symvers") : undefined;
}

describe.skipIf(!existsSync(KERNEL_CORE))("with the kernel's core, and with the modules that they patch", () => {
	const names = existsSync(KERNEL_KO) ? readdirSync(KERNEL_KO).filter((name) => name.endsWith(".ko")) : [];

	test("all 18 are there", () => {
		expect(names).toHaveLength(18);
	});

	test.each(names)("%s", (name) => {
		const { layout } = parseKernelCore(new Uint8Array(readFileSync(KERNEL_CORE)), KERNEL_CORE);
		const targets = names.filter((other) => /(busy|mod|busymod)\.ko$/.test(other) && other !== name);
		const report = checkModule(read(KERNEL_KO, name), {
			...{ layout, exactLayout: true },
			against: targets.map((target) => read(KERNEL_KO, target)),
		});
		expect(report.findings.map(({ kind, what }) => `${kind}: ${what}`)).toEqual(REMARKS[name] ?? []);
		const patched = report.patches.flatMap(({ objects }) =>
			objects.map((object) => {
				const funcs = object.funcs.map(({ oldName, newFunc }) => `${oldName} -> ${newFunc}`).join(", ");
				return `${object.name}: ${funcs}`.trim();
			}),
		);
		expect(patched).toEqual(PATCHES[name] ?? []);
		expect(
			report.notLookedAt.filter((what) => /code of livepatch_|code of test_klp|positions in [lt]/.test(what)),
		).toEqual([]);
	});

	test("the kernel exports what they use, in the versions that they were compiled with", ({ skip }) => {
		const file = symvers();
		if (file === undefined) skipBecause(skip, NO_SYMVERS);
		const { layout } = parseKernelCore(new Uint8Array(readFileSync(KERNEL_CORE)), KERNEL_CORE);
		const found = names.flatMap((name) => {
			const report = checkModule(read(KERNEL_KO, name), { layout, exactLayout: true, against: [file!] });
			expect(report.lookedAt).toContain("symbol versions");
			return report.findings
				.filter(({ weight }) => weight !== "remark")
				.map(({ kind, what }) => `${name}: ${kind}: ${what}`);
		});
		expect(found).toEqual([]);
	});
});

if (!existsSync(KERNEL_CORE)) test("the kernel's modules", ({ skip }) => skipBecause(skip, NO_KERNEL_CORE));
