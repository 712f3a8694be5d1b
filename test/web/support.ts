import { readFileSync } from "node:fs";
import { parseSchedule } from "../../src/explore/index.js";
import { nodeHost } from "../../src/node/index.js";
import { parseScenario } from "../../src/scenario/index.js";
import { Timeline } from "../../web/src/shared/recording.js";
import { followSchedule, type Recorded, recordSchedule } from "../../web/src/worker/record.js";

export const HYBRID = "scenarios/hybrid-lp1-lp2-lp3.yaml";

export const scenarioOf = (file: string) => parseScenario(readFileSync(file, "utf8"), file);

/** A schedule of docs/findings.md, with its scenario. */
function saved(name: string) {
	const file = `test/consistency/schedules/${name}.schedule`;
	const schedule = parseSchedule(readFileSync(file, "utf8"), file);
	return { schedule, scenario: scenarioOf(schedule.scenario), host: nodeHost(schedule.scenario) };
}

export async function replayed(name: string): Promise<Recorded> {
	const { schedule, scenario, host } = saved(name);
	return recordSchedule({ scenario, host, design: schedule.design }, schedule);
}

export async function followed(name: string, original: Recorded, design: string): Promise<Recorded> {
	const { schedule, scenario, host } = saved(name);
	return followSchedule({ scenario, host, design }, schedule, original.recording);
}

export const timelineOf = ({ recording }: Recorded): Timeline => new Timeline(recording);
