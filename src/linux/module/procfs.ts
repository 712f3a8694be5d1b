import { hex } from "../../memory/index.js";
import type { LoadedModule } from "./loader.js";

const STATES = { live: "Live", coming: "Loading", going: "Unloading", unformed: "Unformed" } as const;

/**
 * /proc/modules (m_show, kernel/module/procfs.c): name, size, reference count, the modules that use it, state, address of the text,
 * and taints, K for a livepatch. The newest module comes first.
 */
export function showModules(modules: ReadonlyMap<string, LoadedModule>): string {
	const newestFirst = [...modules.values()].filter(({ state }) => state !== "unformed").reverse();
	const line = (mod: LoadedModule) => {
		const size = mod.image.regions.reduce((sum, { length }) => sum + length, 0);
		const users = newestFirst.filter(({ needs }) => needs.has(mod)).map(({ name }) => `${name},`);
		const used = users.length > 0 ? users.join("") : "-";
		return `${mod.name} ${size} ${mod.refcount} ${used} ${STATES[mod.state]} ${hex(mod.image.base)}${flags(mod)}\n`;
	};
	return newestFirst.map(line).join("");
}

/** module_flags_taint(): proprietary, built outside of the tree, a livepatch. */
export function taintsOf({ livepatch, outOfTree, proprietary }: LoadedModule): string {
	return `${proprietary ? "P" : ""}${outOfTree ? "O" : ""}${livepatch ? "K" : ""}`;
}

/** module_flags(): taints, and a mark while the module is loaded or unloaded. */
function flags(mod: LoadedModule): string {
	const taints = taintsOf(mod);
	const { state } = mod;
	const mark = state === "going" ? "-" : state === "coming" ? "+" : "";
	return taints === "" ? "" : ` (${taints}${mark})`;
}
