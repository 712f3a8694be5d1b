/** The host of scenarios in the page: files of the folder, fetched when they are needed, and files of the user. */
import type { EngineImage } from "../../../src/assemble/index.js";
import { KlpemuError } from "../../../src/base/index.js";
import { JitCpu } from "../../../src/cpu/index.js";
import { type KernelLayout, parseKernelCore, parseKernelLayout } from "../../../src/linux/klp-c/index.js";
import type { FileReader, Host } from "../../../src/scenario/index.js";
import type { Manifest } from "../shared/protocol.js";
import { loadCapstone } from "./capstone.js";

/** `scenarios/../asm/x.c` -> `asm/x.c` */
function normalised(path: string): string {
	const parts: string[] = [];
	for (const part of path.split("/")) {
		if (part === "..") parts.pop();
		else if (part !== "." && part !== "") parts.push(part);
	}
	return parts.join("/");
}

export class Assets {
	readonly manifest: Manifest;
	readonly #base: URL;
	readonly #fetched = new Map<string, Promise<Uint8Array>>();
	/** Files of the user, by name. */
	readonly own = new Map<string, Uint8Array>();

	constructor(base: URL, manifest: Manifest) {
		this.#base = base;
		this.manifest = manifest;
	}

	/** Reads the manifest. `base`: the folder of the page. */
	static async open(base: string): Promise<Assets> {
		const data = new URL("data/", base);
		const bytes = await fetched(new URL("manifest.json", data));
		return new Assets(data, JSON.parse(new TextDecoder().decode(bytes)) as Manifest);
	}

	/** A file below data/. */
	bytes(path: string): Promise<Uint8Array> {
		const known = this.#fetched.get(path) ?? fetched(new URL(path, this.#base));
		this.#fetched.set(path, known);
		return known;
	}

	async text(path: string): Promise<string> {
		return new TextDecoder().decode(await this.bytes(path));
	}

	host(scenarioFile: string): Host {
		const files = this.#files(scenarioFile);
		return {
			files,
			loadObject: (path, { ibt }) => this.#object(path, ibt),
			engineImage: async () => JSON.parse(await this.text(this.manifest.engine)) as EngineImage,
			kernelLayout: (release, ko) => this.layout(release, ko),
			createCpu: (_name, memory) => new JitCpu(memory),
			loadCapstone,
		};
	}

	#files(scenarioFile: string): FileReader {
		const folder = scenarioFile.includes("/") ? scenarioFile.replace(/\/[^/]*$/, "") : "";
		const candidates = (path: string) => [...new Set([normalised(`${folder}/${path}`), normalised(path)])];
		const { objects, texts } = this.manifest;
		const isThere = (path: string) => this.own.has(path) || path in objects || texts.includes(path);
		return {
			candidates,
			// A source without an object exists, as far as a scenario can tell: what is wrong with it is said when it is loaded.
			find: async (path) => candidates(path).find(isThere) ?? (/\.[cS]$/.test(path) ? candidates(path)[0] : undefined),
			read: async (path) => {
				const found = candidates(path).find(isThere);
				if (found === undefined) return undefined;
				const own = this.own.get(found);
				if (own !== undefined) return own;
				return texts.includes(found) ? this.bytes(`files/${found}`) : this.bytes(objects[found]!);
			},
		};
	}

	async #object(path: string, ibt: boolean): Promise<{ bytes: Uint8Array; fileName: string }> {
		const name = path.replace(/^.*\//, "");
		const own = this.own.get(path) ?? this.own.get(name) ?? this.own.get(name.replace(/\.[cS]$/, ".o"));
		if (own !== undefined) return { bytes: own, fileName: path };
		const file = this.manifest.objects[ibt ? `${path} (ibt)` : path];
		if (file !== undefined) return { bytes: await this.bytes(file), fileName: path };
		const known = Object.keys(this.manifest.objects).filter((name) => !name.endsWith(")"));
		throw new KlpemuError("PAGE_NO_OBJECT", `the page has no object of '${path}', and no compiler`, {
			hint: `compile it (gcc -c) and drop '${path.replace(/^.*\//, "").replace(/\.[cS]$/, ".o")}' on the page; compiled already: ${known.join(", ")}`,
		});
	}

	/** Throws `KERNEL_LAYOUT`. */
	async layout(release: string, ko: string): Promise<KernelLayout> {
		const file = this.manifest.layouts[release];
		if (file !== undefined) return parseKernelLayout(await this.text(file), file);
		for (const [name, bytes] of this.own) {
			if (!name.endsWith(".klpcore")) continue;
			const { layout } = parseKernelCore(bytes, name);
			if (layout.release === release) return layout;
		}
		const known = Object.keys(this.manifest.layouts).join(", ");
		throw new KlpemuError(
			"KERNEL_LAYOUT",
			`the module is of Linux ${release}, whose layout is not known (known: ${known})`,
			{
				where: ko,
				hint: "klpemu kernel build --headers DIR makes a .klpcore of that kernel's headers: drop that file on the page too",
			},
		);
	}

	/** The layout for a check: that of its kernel, else the newest of the folder. */
	async layoutForCheck(release: string | undefined, ko: string): Promise<KernelLayout> {
		try {
			if (release !== undefined) return await this.layout(release, ko);
		} catch (error) {
			// The structures of livepatch are the same in most kernels since 5.1.
			if (!(error instanceof KlpemuError && error.code === "KERNEL_LAYOUT")) throw error;
		}
		const file = Object.values(this.manifest.layouts).sort().at(-1)!;
		return parseKernelLayout(await this.text(file), file);
	}
}

async function fetched(url: URL): Promise<Uint8Array> {
	let why: string;
	try {
		const response = await fetch(url);
		if (response.ok) return new Uint8Array(await response.arrayBuffer());
		why = `${response.status} ${response.statusText}`;
	} catch (error) {
		why = error instanceof Error ? error.message : String(error);
	}
	throw new KlpemuError("PAGE_FILE", `cannot fetch ${url.pathname}: ${why}`, {
		hint: "the page needs a web server: npx klpemu serve, or any other that serves the whole folder",
	});
}
