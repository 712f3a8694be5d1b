import { createHash } from "node:crypto";

/** Hexadecimal. Not for what each run needs: to load node:crypto takes 6 ms. */
export function sha256(bytes: Uint8Array): string {
	return createHash("sha256").update(bytes).digest("hex");
}
