import { KlpemuError } from "../errors.js";
import type { ElfObject } from "./types.js";

export function parseElf(_bytes: Uint8Array, fileName: string): ElfObject {
	throw new KlpemuError("ELF_UNSUPPORTED", "being written", { where: fileName });
}
