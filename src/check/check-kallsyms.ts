import { callsOf } from "./calls.js";
import type { Spot } from "./module-file.js";
import { constantOf, RDI, RSI } from "./registers.js";
import type { Subject } from "./subject.js";
import { findSymbol } from "./symbol-lookup.js";

/** The function of SUSE's kallsyms_relocs.c, with its older name. */
const RESOLVE = /^(__)?klp_resolve_kallsyms_relocs$/;
/** struct klp_kallsyms_reloc: symname, addr, objname, sympos. */
const ENTRY = { size: 32, symname: 0, objname: 16, sympos: 24 } as const;
const MAX_ENTRIES = 100_000;

/** Tables of symbols that the module looks up itself when it, or the object that it patches, is loaded. */
export function checkKallsyms(subject: Subject): void {
	const { file, found } = subject;
	for (const { by, registers } of callsOf(file, (name) => RESOLVE.test(name))) {
		const table = registers.get(RDI);
		const count = constantOf(registers.get(RSI));
		if (table?.kind !== "here" || count === undefined || count > MAX_ENTRIES) {
			found.notLookedAt(`symbols that ${by.name}() looks up: their table is not clear`);
			continue;
		}
		found.lookedAt(`${count} symbols that ${by.name}() looks up`);
		for (let index = 0; index < Number(count); index++) {
			checkEntry(subject, { section: table.section, offset: table.offset + index * ENTRY.size });
		}
	}
}

function checkEntry({ file, kernel, found }: Subject, { section, offset }: Spot): void {
	const text = (field: number): string | undefined => {
		const pointer = file.pointer({ section, offset: offset + field });
		return pointer?.kind === "here" ? file.text(pointer) : undefined;
	};
	const name = text(ENTRY.symname);
	const sympos = Number(file.number({ section, offset: offset + ENTRY.sympos }, 8) ?? 0n);
	const where = file.describe({ section, offset });
	if (name === undefined) {
		found.notLookedAt(`the name at ${where}: it is set at run time`);
		return;
	}
	const objname = text(ENTRY.objname);
	const answer = findSymbol(kernel, objname ?? "vmlinux", name, sympos);
	if (answer.kind === "unknown") found.notLookedAt(answer.why);
	if (answer.kind !== "refused") return;
	const place = { object: objname ?? "vmlinux", in: where };
	if (answer.fault === "ambiguous") found.add("kallsyms-first", place, answer.what);
	else {
		const shown = objname === undefined ? name : `${objname}:${name}`;
		found.add("kallsyms-missing", place, answer.what, `livepatch: symbol ${shown} not resolved`);
	}
}
