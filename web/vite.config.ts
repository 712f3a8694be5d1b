import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/** npm run build:web: a folder that works below any path of any web server. tools/web-data.ts adds data/. */
export default defineConfig({
	root: fileURLToPath(new URL(".", import.meta.url)),
	base: "./",
	// The only files that are neither modules nor data.
	publicDir: false,
	worker: { format: "es" },
	// The library as one module, without the parts that nothing uses.
	resolve: { alias: { yaml: fileURLToPath(new URL("../node_modules/yaml/browser/index.js", import.meta.url)) } },
	build: {
		outDir: fileURLToPath(new URL("../dist/web", import.meta.url)),
		emptyOutDir: true,
		target: "es2023",
		// Inline scripts and data: URLs are against the page's Content-Security-Policy.
		assetsInlineLimit: 0,
		modulePreload: { polyfill: false },
		chunkSizeWarningLimit: 2000,
		license: { fileName: "licenses.md" },
	},
});
