import { fileURLToPath } from "node:url";

/** The package's folder, with asm/ and scenarios/: two up from src/node, dist/node and dist/cli (the bundled command). */
export const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
