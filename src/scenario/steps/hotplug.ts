import { whole } from "../values.js";
import { step } from "./step.js";

export const cpu_up = step("cpu_up", {
	value: whole(0, 63),
	doc: { form: ["cpu_up: 1"], does: "brings a CPU up" },
	hasErrno: true,
	read: (raw) => ({ cpu: raw }),
	title: ({ cpu }) => `cpu_up ${cpu}`,
	run: ({ cpu }, { machine }) => machine.hotplug.cpu_up(cpu),
});

export const cpu_down = step("cpu_down", {
	value: whole(0, 63),
	doc: { form: ["cpu_down: 1"], does: "takes a CPU down" },
	hasErrno: true,
	read: (raw) => ({ cpu: raw }),
	title: ({ cpu }) => `cpu_down ${cpu}`,
	run: ({ cpu }, { machine }) => machine.hotplug.cpu_down(cpu),
});
