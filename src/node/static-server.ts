import { createReadStream, realpathSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { extname, join, sep } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
	".html": "text/html; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8",
	".json": "application/json; charset=utf-8",
	".md": "text/plain; charset=utf-8",
	".svg": "image/svg+xml",
	".wasm": "application/wasm",
};

/**
 * The policy of web/index.html, and what only a header can say. Scripts come from the folder; nothing is written to another place; no
 * other page shows this one in a frame.
 */
export const CONTENT_SECURITY_POLICY = [
	"default-src 'none'",
	"script-src 'self' 'wasm-unsafe-eval'",
	...["worker-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:"],
	...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join("; ");

const HEADERS: Readonly<Record<string, string>> = {
	"Content-Security-Policy": CONTENT_SECURITY_POLICY,
	"X-Content-Type-Options": "nosniff",
	"Referrer-Policy": "no-referrer",
	"Cross-Origin-Opener-Policy": "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control": "no-cache",
};

/** Names by which a browser on this machine asks for it: another name is a page elsewhere that had it resolved to here. */
const LOCAL = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/;

/**
 * Serves the files of a folder, and nothing else: no listing, no path out of it, no method but GET and HEAD. `elsewhere`: the file of a path
 * that the folder does not have.
 */
export function staticServer(
	folder: string,
	elsewhere: (path: string) => string | undefined = () => undefined,
): Server {
	const root = realpathSync(folder);
	return createServer((request, response) => {
		if (!LOCAL.test(request.headers.host ?? "")) return refuse(response, 421, "this server is for this machine only");
		if (request.method !== "GET" && request.method !== "HEAD") return refuse(response, 405, "GET and HEAD only");
		const file = fileOf(root, request.url ?? "/") ?? known(elsewhere(request.url ?? "/"));
		if (file === undefined) return refuse(response, 404, "there is no such file");
		send(request, response, file);
	});
}

/** The file that a URL names; undefined: there is none in the folder. */
function fileOf(root: string, url: string): { path: string; size: number } | undefined {
	let path: string;
	try {
		path = decodeURIComponent(url.replace(/[?#].*$/s, ""));
	} catch {
		return undefined;
	}
	if (!path.startsWith("/") || path.includes("\0")) return undefined;
	try {
		const real = realpathSync(join(root, path.endsWith("/") ? `${path}index.html` : path));
		const found = statSync(real);
		return real.startsWith(root + sep) && found.isFile() ? { path: real, size: found.size } : undefined;
	} catch {
		return undefined;
	}
}

function known(path: string | undefined): { path: string; size: number } | undefined {
	return path === undefined ? undefined : { path, size: statSync(path).size };
}

function send({ method }: IncomingMessage, response: ServerResponse, { path, size }: { path: string; size: number }) {
	const type = TYPES[extname(path)] ?? "application/octet-stream";
	response.writeHead(200, { ...HEADERS, "Content-Type": type, "Content-Length": size });
	if (method === "HEAD") return response.end();
	// The file was there a moment ago: if it cannot be read now, the connection ends.
	return createReadStream(path)
		.on("error", () => response.destroy())
		.pipe(response);
}

function refuse(response: ServerResponse, status: number, text: string): void {
	const allow = status === 405 ? { Allow: "GET, HEAD" } : {};
	response.writeHead(status, { ...HEADERS, ...allow, "Content-Type": "text/plain; charset=utf-8" });
	response.end(`${text}\n`);
}
