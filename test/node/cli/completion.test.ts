import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { commands } from "../../../src/node/cli/commands.js";
import { cliOf } from "../../support/cli.js";

async function completion(...args: string[]) {
	const { status, stdout, stderr } = await cliOf(["completion", ...args]);
	return { status, text: stdout + stderr };
}

/** The words that bash offers behind a command line; the last word is the one that is being typed. */
async function offered(...line: string[]): Promise<string[]> {
	const { text } = await completion("bash");
	const words = ["klpemu", ...line].map((word) => `'${word}'`).join(" ");
	const script = `${text}\nCOMP_WORDS=(${words}); COMP_CWORD=${line.length}; _klpemu; printf '%s\\n' "\${COMPREPLY[@]}"`;
	return execFileSync("bash", ["-euc", script], { encoding: "utf8" })
		.split("\n")
		.filter((word) => word !== "");
}

/** `kernel build` and `kernel show` are one word at first. */
const firstWords = [...new Set(commands.map(({ name }) => name.split(" ")[0]!))];

describe("klpemu completion", () => {
	test("bash offers commands, options, and the values of an option", async () => {
		expect(await offered("")).toEqual([...firstWords, "--help", "--version"]);
		expect(await offered("e")).toEqual(["explore", "exec"]);
		expect(await offered("run", "--d")).toEqual(["--design", "--dmesg"]);
		expect(await offered("run", "--cpu", "")).toEqual(["jit", "unicorn"]);
		expect(await offered("run", "x.yaml", "--design", "rfc")).toEqual(["rfc-2025", "rfc-2025-no-nop"]);
	});
	test("bash offers the second word of a command, and its options", async () => {
		expect(await offered("kernel", "")).toEqual(["build", "show"]);
		expect(await offered("kernel", "build", "--pa")).toEqual(["--patch"]);
		expect(await offered("kernel", "show", "x")).toEqual([]);
	});
	test("bash offers files where no option can stand", async () => {
		expect(await offered("run", "sc")).toEqual([]);
		expect((await completion("bash")).text).toContain("complete -o default");
	});
	test.each(["zsh", "fish"])("%s: every command with its options", async (shell) => {
		const { status, text } = await completion(shell);
		expect(status).toBe(0);
		for (const { name } of commands) for (const word of name.split(" ")) expect(text).toContain(word);
		expect(text).toMatch(shell === "zsh" ? /^\t\tkernel\) .*'1:action:\(build show\)' /m : /_from kernel' -a show$/m);
		expect(text).not.toMatch(/^\t\tkernel build\)/m);
		expect(text).toMatch(shell === "zsh" ? /'--design\[.*\]:value:\(mainline / : /-l design -d .* -x -a 'mainline /);
	});
	test("another shell is refused", async () => {
		const { status, text } = await completion("fis");
		expect(status).toBe(2);
		expect(text).toContain("there is no 'fis'");
		expect(text).toContain("did you mean 'fish'?");
	});
});
