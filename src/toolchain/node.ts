import { KlpemuError } from "../errors.js";

export interface ObjectOptions {
	/** Compile with -fcf-protection=branch: functions begin with endbr64. */
	readonly ibt?: boolean;
}

/** Bytes of a relocatable object, ready for parseElf. */
export interface ObjectFile {
	readonly bytes: Uint8Array;
	/** For messages. */
	readonly fileName: string;
}

/** The object for a .c, .S or .o file: committed, compiled now, or as it is. */
export async function objectFor(sourcePath: string, _options: ObjectOptions = {}): Promise<ObjectFile> {
	throw new KlpemuError("TOOLCHAIN_FAILED", "being written", { where: sourcePath });
}
