import * as v from "valibot";
import { ENOENT } from "../../linux/lib/index.js";
import type { Machine } from "../../machine/index.js";
import { errno, expected, filePath, fileText, moduleName, scalar, text } from "../values.js";
import { step } from "./step.js";
import { strerror } from "./strerror.js";

const LIVEPATCH = "/sys/kernel/livepatch";
/** Files that functions.sh writes without a log line. */
const SILENT = /^\/dev\/kmsg$|^\/sys\/kernel\/debug\//;

/** The patch in transition. If there is none: a name that no file has, so that a write returns -ENOENT. */
function inTransition({ klp }: Machine): string {
	return klp.inTransition ?? "(none in transition)";
}

export const disable = step("disable", {
	value: moduleName,
	doc: { form: ["disable: lp1"], does: "writes 0 to the livepatch's file `enabled`" },
	hasErrno: true,
	races: true,
	read: (raw, place) => ({ livepatch: place.livepatch(raw) }),
	title: ({ livepatch }) => `disable ${livepatch}`,
	logsBefore: ({ livepatch }) => `% echo 0 > ${LIVEPATCH}/${livepatch}/enabled`,
	run: ({ livepatch }, { machine }) => machine.files.write(`${LIVEPATCH}/${livepatch}/enabled`, "0"),
});

export const enable = step("enable", {
	value: moduleName,
	doc: { form: ["enable: lp1"], does: "writes 1 to the livepatch's file `enabled`" },
	hasErrno: true,
	races: true,
	read: (raw, place) => ({ livepatch: place.livepatch(raw) }),
	title: ({ livepatch }) => `enable ${livepatch}`,
	run: ({ livepatch }, { machine }) => machine.files.write(`${LIVEPATCH}/${livepatch}/enabled`, "1"),
});

/** The name of a livepatch; a plain word: the livepatch in transition. */
export interface MaybeLivepatch {
	readonly livepatch: string | undefined;
}

export const reverse = step("reverse", {
	value: moduleName,
	doc: {
		form: ["reverse", "reverse: lp1"],
		does: "writes the opposite value to the livepatch's file `enabled`; without a name: of the livepatch in transition",
	},
	hasErrno: true,
	races: true,
	word: (): MaybeLivepatch => ({ livepatch: undefined }),
	read: (raw, place): MaybeLivepatch => ({ livepatch: place.livepatch(raw) }),
	title: ({ livepatch }) => (livepatch === undefined ? "reverse" : `reverse ${livepatch}`),
	*run({ livepatch }, { machine }) {
		const path = `${livepatch ?? inTransition(machine)}/enabled`;
		const value = machine.klp.sysfs.read(path);
		if (typeof value === "number") return value;
		return yield* machine.files.write(`${LIVEPATCH}/${path}`, value === "1" ? "0" : "1");
	},
});

export const force = step("force", {
	value: moduleName,
	doc: {
		form: ["force", "force: lp1"],
		does: "writes 1 to the livepatch's file `force`; without a name: of the livepatch in transition",
	},
	hasErrno: true,
	races: true,
	word: (): MaybeLivepatch => ({ livepatch: undefined }),
	read: (raw, place): MaybeLivepatch => ({ livepatch: place.livepatch(raw) }),
	title: ({ livepatch }) => (livepatch === undefined ? "force" : `force ${livepatch}`),
	run: ({ livepatch }, { machine }) =>
		machine.files.write(`${LIVEPATCH}/${livepatch ?? inTransition(machine)}/force`, "1"),
});

export const echo = step("echo", {
	value: v.strictObject({ path: filePath, value: scalar, errno: v.optional(errno) }),
	doc: { form: ["echo: { path, value }"], does: "writes to any file" },
	hasErrno: true,
	races: true,
	read: (raw, place) => ({ path: place.at("path").file(raw.path), value: fileText(raw.value) }),
	innerErrno: (raw) => raw.errno,
	title: ({ path, value }) => `echo ${value} > ${path}`,
	logsBefore: ({ path, value }) => (SILENT.test(path) ? undefined : `% echo ${value} > ${path}`),
	// The newline is echo's.
	run: ({ path, value }, { machine }) => machine.files.write(path, `${value}\n`),
});

export interface Cat {
	readonly path: string;
	/** The expected text of the file, without its last newline. */
	readonly value: string | undefined;
	/** Only lines with this text. */
	readonly grep: string | undefined;
	/** The file that the lines are written to, if there are any. */
	readonly to: string | undefined;
}

export const cat = step("cat", {
	value: v.union([
		text,
		v.strictObject({
			path: filePath,
			value: v.optional(v.pipe(scalar, v.description("what it must hold, without its last newline"))),
			grep: v.optional(v.pipe(text, v.description("only lines with this text"))),
			to: v.optional(v.pipe(text, v.description("writes what was read to that file, if it is anything"))),
		}),
	]),
	doc: {
		form: ["cat: lp1/enabled", "cat: { path, value }"],
		does: "reads a file and compares; `cat: { path, grep, to }` writes the lines that contain a text to another file",
	},
	hasErrno: true,
	read(raw, place): Cat {
		if (typeof raw === "string") return { path: place.file(raw), value: undefined, grep: undefined, to: undefined };
		const value = raw.value === undefined ? undefined : fileText(raw.value);
		const to = raw.to === undefined ? undefined : place.at("to").file(raw.to);
		return { path: place.at("path").file(raw.path), value, grep: raw.grep, to };
	},
	title({ path, grep, to }) {
		const reads = grep === undefined ? `cat ${path}` : `grep '${grep}' ${path}`;
		return to === undefined ? reads : `${reads} > ${to}`;
	},
	notExplored: ({ to }) => (to === undefined ? { skips: "reading a file changes nothing" } : undefined),
	*run({ path, value, grep = "", to }, { machine, fail, hasRead }) {
		const content = yield* machine.files.read(path);
		if (typeof content === "number") return content;
		const lines = content.replace(/\n$/, "").split("\n");
		const found = lines.filter((line) => line.includes(grep)).join("\n");
		hasRead(found);
		if (grep !== "" && found === "" && value === undefined && to === undefined)
			fail(`no line of ${path} has '${grep}'`);
		if (value !== undefined && value !== found) fail(`${path} holds '${found}', not '${value}'`);
		if (to === undefined || found === "") return 0;
		// read() and write() are two system calls, and between them the process leaves the kernel.
		yield* machine.klp.klp_update_patch_state(machine.sched.current);
		return yield* machine.files.write(to, found);
	},
});

export const stat = step("stat", {
	value: v.strictObject({
		path: filePath,
		rights: v.pipe(
			v.string(),
			v.regex(/^[-d]([-r][-w][-x]){3}$/),
			expected("rights such as -rw-r--r--"),
			v.description("as stat --format %A prints them"),
		),
	}),
	doc: { form: ["stat: { path, rights }"], does: "compares access rights, `-rw-r--r--`" },
	hasErrno: true,
	outside: true,
	read: (raw, place) => ({ path: place.at("path").file(raw.path), rights: raw.rights }),
	title: ({ path }) => `stat ${path}`,
	notExplored: () => ({ skips: "looking at access rights changes nothing" }),
	// biome-ignore lint/correctness/useYield: nothing that another task could see
	*run({ path, rights }, { machine, fail }) {
		const found = machine.files.rights(path);
		if (found === undefined) return -ENOENT;
		if (found !== rights) fail(`${path} is ${found}, not ${rights}`);
		return 0;
	},
});

export const sysctl = step("sysctl", {
	value: v.pipe(v.string(), v.regex(/^[a-z][\w.]*=\S+$/), expected("NAME=VALUE, for example kernel.ftrace_enabled=0")),
	doc: { form: ["sysctl: kernel.ftrace_enabled=0"], does: "writes to a file below /proc/sys" },
	hasErrno: true,
	read(raw) {
		const [name, value] = raw.split("=") as [string, string];
		return { name, value };
	},
	title: ({ name, value }) => `sysctl ${name}=${value}`,
	logsAfter({ name, value }, errno) {
		if (errno === 0) return `livepatch: ${name} = ${value}`;
		return `livepatch: sysctl: setting key "${name}": ${strerror(errno)}`;
	},
	run: ({ name, value }, { machine }) => machine.files.write(`/proc/sys/${name.replaceAll(".", "/")}`, value),
});
