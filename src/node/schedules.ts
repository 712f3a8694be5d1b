import { basename, isAbsolute, join, relative, resolve } from "node:path";
import { formatSchedule, type Schedule } from "../explore/index.js";
import { writeInFolder } from "./files.js";

/** The beginning of the names of a scenario's schedules under one design: `hybrid-lp1-lp2-lp3.rfc-2025.` */
export function schedulePrefix(scenario: string, design: string): string {
	return `${basename(scenario).replace(/\.ya?ml$/, "")}.${design}.`;
}

/** Saves a schedule in a folder, which is made if there is none, with the way from its folder to the scenario. Returns its path. Throws `FILE_UNWRITABLE`. */
export async function saveSchedule(folder: string, schedule: Schedule): Promise<string> {
	const { scenario, design, invariant } = schedule;
	const path = join(folder, `${schedulePrefix(scenario, design)}${invariant}.schedule`);
	const way = isAbsolute(scenario) ? scenario : relative(resolve(folder), resolve(scenario));
	await writeInFolder(path, formatSchedule({ ...schedule, scenario: way }));
	return path;
}
