import { KlpemuError } from "../errors.js";
import type { Image, LinkOptions } from "./types.js";

export function linkImage(options: LinkOptions): Image {
	throw new KlpemuError("ELF_UNSUPPORTED", "being written", { where: options.name });
}
