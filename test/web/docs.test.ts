/** docs/ as pages: every link between them leads to a page. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { PROJECT } from "../../src/node/index.js";

test("links between documents lead to pages, and pages to the page", () => {
	const out = mkdtempSync(join(tmpdir(), "klpemu-docs-"));
	execFileSync(process.execPath, ["--import", "tsx", "tools/web-docs.ts", join(out, "docs")], { cwd: PROJECT });
	const files = readdirSync(out, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".html"));
	expect(files).toEqual(expect.arrayContaining(["docs/index.html", "docs/page.html", "docs/findings/index.html"]));
	const dead = files.flatMap((file) => {
		const html = readFileSync(join(out, file), "utf8");
		expect(html).not.toMatch(/<script|\sstyle=/);
		const links = [...html.matchAll(/href="([^"#:]+\.html)/g)].map(([, to]) => join(dirname(file), to!));
		return links.filter((to) => to !== "index.html" && !existsSync(join(out, to))).map((to) => `${file}: ${to}`);
	});
	expect(dead).toEqual([]);

	// A finding opens in the page: the scenario, the design and the schedule of each link are there.
	const finding = readFileSync(join(out, "docs/findings/1-bottom-of-func-stack.html"), "utf8");
	const hashes = [...finding.matchAll(/href="\.\.\/\.\.\/index\.html#([^"]+)"/g)].map(([, hash]) =>
		hash!.replaceAll("&amp;", "&"),
	);
	expect(hashes.length).toBeGreaterThan(0);
	for (const hash of hashes) {
		const parts = new URLSearchParams(hash);
		expect(existsSync(join(PROJECT, parts.get("scenario")!))).toBe(true);
		const schedule = join(PROJECT, "test/consistency", parts.get("schedule")!);
		expect(readFileSync(schedule, "utf8")).toContain(`design: ${parts.get("design")}`);
	}
});
