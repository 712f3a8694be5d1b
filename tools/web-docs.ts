/** Part of npm run build:web: docs/ and the README as pages beside the page, in dist/web/docs. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Marked } from "marked";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
const OUT = join(PROJECT, "dist/web/docs");
const names = readdirSync(join(PROJECT, "docs")).filter((name) => name.endsWith(".md"));

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

/** Links between documents lead to pages; the page's own policy allows no inline style. */
function page({ title, text }: Doc, all: readonly Doc[]): string {
	const body = (marked.parse(text) as string)
		.replace(/ (style|align)="[^"]*"/g, "")
		.replaceAll("<pre>", '<pre tabindex="0">')
		.replace(/href="(?:docs\/)?([\w-]+)\.md(#[\w-]*)?"/g, 'href="$1.html$2"');
	const nav = all.map((doc) => `<a href="${doc.file}">${escaped(doc.title.replaceAll("`", ""))}</a>`).join("\n");
	return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self'; img-src 'self'">
<title>${escaped(title)} · klpemu</title>
<link rel="icon" href="icon.svg">
<link rel="stylesheet" href="docs.css">
</head>
<body>
<nav aria-label="documents"><a href="../index.html">See a transition</a>
${nav}</nav>
<main>
${body}</main>
</body>
</html>
`;
}

const docs = [
	read("README.md", "index.html"),
	...names.map((name) => read(`docs/${name}`, name.replace(/md$/, "html"))),
];
mkdirSync(OUT, { recursive: true });
for (const doc of docs) writeFileSync(join(OUT, doc.file), page(doc, docs));
for (const name of ["docs.css", "icon.svg"]) copyFileSync(join(PROJECT, "web", name), join(OUT, name));
