/** Part of npm run build:web: docs/ and the README as pages beside the page, in dist/web/docs. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Marked } from "marked";
import { parseSchedule } from "../src/explore/index.js";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
/** The folder can be given, for tests. */
const OUT = process.argv[2] ?? join(PROJECT, "dist/web/docs");
const names = readdirSync(join(PROJECT, "docs"), { recursive: true, encoding: "utf8" })
	.map((name) => name.replaceAll("\\", "/"))
	.filter((name) => name.endsWith(".md"))
	.sort();

interface Doc {
	readonly title: string;
	readonly file: string;
	readonly text: string;
}

function read(path: string, file: string): Doc {
	const text = readFileSync(join(PROJECT, path), "utf8");
	const title = /^# (.*)$/m.exec(text)?.[1] ?? file;
	return { title, file, text };
}

const escaped = (text: string): string =>
	text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

/** The anchor of a heading, as GitHub makes it. */
const anchor = (heading: string): string =>
	heading
		.toLowerCase()
		.replace(/[^\w\s-]/g, "")
		.trim()
		.replace(/\s/g, "-");

const marked = new Marked({
	renderer: {
		heading: (html, level, raw) => `<h${level} id="${anchor(raw)}">${html}</h${level}>\n`,
		/** A wide table scrolls by itself, also by keys. */
		table: (header, body) =>
			`<div class="wide" tabindex="0" role="region" aria-label="table"><table>\n<thead>\n${header}</thead>\n<tbody>\n${body}</tbody>\n</table></div>\n`,
	},
});

/** `findings/README.md` -> `findings/index.html` */
const pageOf = (path: string): string => path.replace(/README\.md$/, "index.md").replace(/\.md$/, ".html");

/** The schedules of docs/findings.md, by the scenario that they belong to. */
const SCHEDULES = "test/consistency/schedules";
const schedules = readdirSync(join(PROJECT, SCHEDULES))
	.filter((name) => name.endsWith(".schedule"))
	.sort()
	.map((name) => ({
		path: `schedules/${name}`,
		...parseSchedule(readFileSync(join(PROJECT, SCHEDULES, name), "utf8"), name),
	}));

/** The schedules of the scenarios that a document names, each as a link into the page at the moment that breaks something. */
function seeIt({ file, text }: Doc): string {
	const up = file.includes("/") ? "../" : "";
	const named = [...new Set([...text.matchAll(/scenarios\/[\w/.-]+\.yaml/g)].map(([path]) => path))];
	const items = named.flatMap((path) => {
		const links = schedules.filter(({ scenario }) => scenario === path);
		if (links.length === 0) return [];
		const shown = links.map(({ path: schedule, design, invariant }) => {
			const parts = new URLSearchParams({ scenario: path, design, beside: "universe", schedule });
			const hash = escaped(parts.toString().replaceAll("%2F", "/"));
			return `<a href="${up}../index.html#${hash}">${design}: ${invariant}</a>`;
		});
		return [`<li><code>${path}</code>: ${shown.join(", ")}</li>`];
	});
	if (items.length === 0) return "";
	return `<h2 id="see-it-happen">See it happen</h2>\n<p>On machine code, with universe beside it:</p>\n<ul>\n${items.join("\n")}\n</ul>\n`;
}

/** Links between documents lead to pages; the page's own policy allows no inline style. */
function page(doc: Doc, all: readonly Doc[]): string {
	const { title, file, text } = doc;
	const up = file.includes("/") ? "../" : "";
	const body = (marked.parse(text) as string)
		.replace(/ (style|align)="[^"]*"/g, "")
		.replaceAll("<pre>", '<pre tabindex="0">')
		.replace(
			/href="(?:docs\/)?([\w./-]+\.md)(#[\w-]*)?"/g,
			(_link, to: string, place = "") => `href="${pageOf(to)}${place}"`,
		);
	const here = all.filter((doc) => !doc.file.includes("/") || dirname(doc.file) === dirname(file));
	const nav = here.map((doc) => `<a href="${up}${doc.file}">${escaped(doc.title.replaceAll("`", ""))}</a>`).join("\n");
	return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self'; img-src 'self'">
<title>${escaped(title)} · klpemu</title>
<link rel="icon" href="${up}icon.svg">
<link rel="stylesheet" href="${up}docs.css">
</head>
<body>
<nav aria-label="documents"><a href="${up}../index.html">See a transition</a>
${nav}</nav>
<main>
${body}${seeIt(doc)}</main>
</body>
</html>
`;
}

const docs = [
	read("README.md", "index.html"),
	read("CONTRIBUTING.md", "CONTRIBUTING.html"),
	...names.map((name) => read(`docs/${name}`, pageOf(name))),
];
mkdirSync(OUT, { recursive: true });
for (const doc of docs) {
	mkdirSync(dirname(join(OUT, doc.file)), { recursive: true });
	writeFileSync(join(OUT, doc.file), page(doc, docs));
}
for (const name of ["docs.css", "icon.svg"]) copyFileSync(join(PROJECT, "web", name), join(OUT, name));
