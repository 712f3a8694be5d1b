/**
 * Transcripts of kits without what varies, and without what is said twice: `~3` in a state stands for three lines that are at the
 * same place of the state before.
 */

const STATE = "### --- STATE: ";
const OF_STATE = "###     ";

/** Drops times and addresses, and lines that no comparison reads. `kept`: beginnings of the kernel's lines. */
export function compact(text: string, kept: readonly string[]): string {
	const lines = text
		.split("\n")
		.map((line) => line.replace(/^\[ *\d+\.\d+\] /, "").trimEnd())
		.filter((line) => line.startsWith("###") || kept.some((start) => line.startsWith(start)))
		.filter((line) => !/^### (kernel|harness)|^livepatch: klp_try_switch_task: /.test(line))
		.map((line) => line.replace(/(ftrace .*?\(\d+\)[\sA-Z]*).*/, "$1").trimEnd());
	const end = lines.indexOf("### END");
	return folded(end < 0 ? lines : lines.slice(0, end + 1)).join("\n");
}

function folded(lines: readonly string[]): string[] {
	const out: string[] = [];
	let before: string[] = [];
	for (const state of blocks(lines)) {
		let same = 0;
		const flush = () => {
			if (same > 0) out.push(`~${same}`);
			same = 0;
		};
		for (const [index, line] of state.entries()) {
			if (line.startsWith(OF_STATE) && line === before[index]) same++;
			else {
				flush();
				out.push(line);
			}
		}
		flush();
		if (state[0]!.startsWith(STATE)) before = state;
	}
	return out;
}

/** A state with its lines is one block, everything else a block of its own. */
function blocks(lines: readonly string[]): string[][] {
	const all: string[][] = [];
	for (const line of lines) {
		const last = all.at(-1);
		if (last !== undefined && last[0]!.startsWith(STATE) && (line.startsWith(OF_STATE) || line.startsWith("~")))
			last.push(line);
		else all.push([line]);
	}
	return all;
}

/** The reverse of what {@link compact} leaves out because it is said twice. */
export function expanded(text: string): string {
	const out: string[] = [];
	let before: string[] = [];
	for (const block of blocks(text.split("\n"))) {
		const state: string[] = [];
		for (const line of block) {
			const same = /^~(\d+)$/.exec(line);
			if (same === null) state.push(line);
			else state.push(...before.slice(state.length, state.length + Number(same[1])));
		}
		out.push(...state);
		if (state[0]!.startsWith(STATE)) before = state;
	}
	return out.join("\n");
}
