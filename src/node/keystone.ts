import { Keystone } from "../assemble/index.js";

/** The assembler, from the package that klpemu depends on. */
export function loadKeystone(): Promise<Keystone> {
	return Keystone.create(() => import("@alexaltea/keystone-js"));
}
