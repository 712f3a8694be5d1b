import capstoneUrl from "@alexaltea/capstone-js/dist/capstone.wasm?url";
import type { EmscriptenLoader } from "../../../src/base/index.js";

/** The disassembler. It is fetched when the first code is shown: it is three times as large as all the rest. */
export const loadCapstone: EmscriptenLoader = async () => {
	const { default: create } = await import("@alexaltea/capstone-js");
	const locateFile = () => new URL(capstoneUrl, import.meta.url).href;
	return { default: (options) => create({ ...options, locateFile }) };
};
