import { type ElfObject, parseElf } from "../elf/index.js";
import type { KernelLayout } from "../linux/klp-c/index.js";
import { type InputFile, readAgainst } from "./against.js";
import { moduleAsTarget } from "./against-elf.js";
import { checkCallbacks } from "./check-callbacks.js";
import { checkFunctions } from "./check-functions.js";
import { checkKallsyms } from "./check-kallsyms.js";
import { checkKlpRelocations } from "./check-klp-relocations.js";
import { checkLoading } from "./check-loading.js";
import { checkShadow } from "./check-shadow.js";
import { checkStructure } from "./check-structure.js";
import { CallGraph } from "./code.js";
import { findPatches } from "./find-patch.js";
import { Findings } from "./findings.js";
import type { KernelFacts } from "./kernel.js";
import { patchLayout } from "./layout.js";
import { withoutMisnamed } from "./misnamed.js";
import { ModuleFile, type Pointer } from "./module-file.js";
import { type Patch, type PatchFunc, type PatchObject, PatchReader } from "./patch.js";
import { objectName, type Subject } from "./subject.js";
import { findSymbol, hexAddress } from "./symbol-lookup.js";
import type { CheckReport, FuncReport, ObjectReport, PatchReport } from "./types.js";
import { Writes } from "./writes.js";

export interface CheckOptions {
	/** The layout by which the livepatch's structures are read. */
	readonly layout: KernelLayout;
	/** True: the layout is of the very kernel that shall load the module, so that sizes and release are compared. */
	readonly exactLayout: boolean;
	/** Files of that kernel: vmlinux, System.map, /proc/kallsyms, Module.symvers, modules. */
	readonly against: readonly InputFile[];
}

/**
 * Reads a livepatch module and says what the kernel will make of it. Nothing is executed. Throws a KlpemuError if a file cannot be
 * read: the errors of parseElf(), `CHECK_AGAINST`, `CHECK_LAYOUT`, `CHECK_DAMAGED`.
 */
export function checkModule(input: InputFile, options: CheckOptions): CheckReport {
	const { bytes, names } = withoutMisnamed(input.bytes);
	const file = new ModuleFile(parseElf(bytes, input.name));
	const found = new Findings();
	for (const name of names) sayMisnamed(found, name);
	const { sources, notFound } = findPatches(file);
	const reader = new PatchReader(file, patchLayout(options.layout), new Writes(file));
	const subject: Subject = {
		file,
		enables: sources.length > 0 || notFound.length > 0,
		isLivepatch: file.modinfo.has("livepatch"),
		patches: sources.map((source) => reader.read(source)),
		kernel: withItself(readAgainst(options.against), file.object),
		core: options.exactLayout ? options.layout : undefined,
		limits: {
			moduleName: options.layout.constant("MODULE_NAME_LEN"),
			symbolName: options.layout.constant("KSYM_NAME_LEN"),
		},
		found,
	};
	for (const { name } of notFound) {
		found.notLookedAt(`the livepatch: ${name}() makes or chooses its klp_patch at run time`);
	}
	sayLayout(subject, options);
	checkLoading(subject);
	checkKlpRelocations(subject);
	checkKallsyms(subject);
	checkStructure(subject);
	const graph = new CallGraph(file);
	checkFunctions(subject, graph);
	checkCallbacks(subject, graph);
	checkShadow(subject);
	return report(subject);
}

/** The module itself, which its livepatch may name by mistake: it is loaded when its init function runs. */
function withItself(kernel: KernelFacts, object: ElfObject): KernelFacts {
	const itself = moduleAsTarget(object);
	if (itself.name === "vmlinux") return kernel;
	return { ...kernel, objects: new Map([[itself.name, itself], ...kernel.objects]) };
}

/** klp_write_section_relocs() reads the first part of the name only. */
function sayMisnamed(found: Findings, name: string): void {
	found.notLookedAt(`the relocations in section '${name}', whose name is not .klp.rela.OBJECT.SECTION`);
	if (/^\.klp\.rela\.[^.]/.test(name)) return;
	const dmesg = `livepatch: section ${name} has an incorrectly formatted name`;
	found.add("klp-rela-name", { in: name }, `section '${name}' has livepatch relocations`, dmesg);
}

function sayLayout({ patches, found, file }: Subject, { layout, exactLayout }: CheckOptions): void {
	found.lookedAt("sections, symbols and relocations, as the module loader looks at them");
	if (patches.length === 0) return;
	const magic = file.modinfo.get("vermagic")?.[0]?.split(" ")[0];
	const other = magic !== undefined && magic !== layout.release && !exactLayout;
	found.lookedAt(`the livepatch's structures, by the layout of ${layout.release}${other ? ", which fits" : ""}`);
	for (const { form, replace } of patches) {
		if (form !== "klp_patch" && replace === undefined)
			found.notLookedAt(`replace: the init function of ${form} sets it`);
	}
	for (const patch of patches) {
		const fillers = [patch.filledBy, ...(patch.objects ?? []).map(({ filledBy }) => filledBy)];
		for (const filler of new Set(fillers)) {
			if (filler !== undefined) found.notLookedAt(`what ${filler}() writes into the livepatch's arrays at run time`);
		}
	}
}

function report(subject: Subject): CheckReport {
	const { file, found, patches } = subject;
	const { modinfo } = file;
	const findings = found.sorted();
	const heaviest = findings[0]?.weight;
	return {
		schema: 1,
		file: file.object.fileName,
		verdict: heaviest === "refused" || heaviest === "wrong" ? heaviest : "clean",
		module: {
			name: file.name,
			livepatch: subject.isLivepatch,
			license: modinfo.get("license")?.[0] ?? null,
			vermagic: modinfo.get("vermagic")?.[0] ?? null,
			depends: (modinfo.get("depends")?.[0] ?? "").split(",").filter((name) => name !== ""),
		},
		patches: patches.map((patch) => patchReport(subject, patch)),
		findings,
		...found.looked,
	};
}

function patchReport(subject: Subject, { form, replace, states, objects = [] }: Patch): PatchReport {
	return { form, replace: replace ?? null, states, objects: objects.map((object) => objectReport(subject, object)) };
}

function objectReport(subject: Subject, { name: pointer, funcs = [], callbacks }: PatchObject): ObjectReport {
	const name = objectName(pointer);
	const relocations = subject.file.klpRelocationsFor(name).flatMap((section) => section.relocations);
	const symbols = relocations.map(({ symbol }) => symbol.name.replace(/^\.klp\.sym\./, ""));
	const named = [...callbacks].map(([field, to]): [string, string] => [field, pointerName(subject, to) ?? "?"]);
	return {
		name,
		funcs: funcs.map((func) => funcReport(subject, name, func)),
		callbacks: Object.fromEntries(named),
		relocations: relocations.length,
		symbols: [...new Set(symbols)].sort(),
	};
}

function funcReport(subject: Subject, object: string, func: PatchFunc): FuncReport {
	const oldName = func.oldName.kind === "text" ? func.oldName.text : null;
	const answer = oldName === null ? undefined : findSymbol(subject.kernel, object, oldName, func.sympos);
	const symbol = answer?.kind === "found" ? answer.symbol : undefined;
	return {
		oldName,
		sympos: func.sympos,
		newFunc: pointerName(subject, func.newFunc),
		...(symbol !== undefined && { oldAddress: hexAddress(symbol) }),
		...(symbol?.file !== undefined && { oldFile: symbol.file }),
	};
}

/** The name of what a pointer leads to; null: NULL. */
function pointerName({ file }: Subject, pointer: Pointer): string | null {
	switch (pointer.kind) {
		case "null":
			return null;
		case "here":
			return file.describe(pointer);
		case "elsewhere":
			return pointer.symbol;
		case "number":
			return `0x${pointer.value.toString(16)}`;
	}
}
