import { opsName } from "../values.js";
import { step } from "./step.js";

export const register = step("register", {
	value: opsName,
	doc: { form: ["register: probe"], does: "attaches one of `ftrace_ops` to its functions" },
	hasErrno: true,
	read: (raw, place) => ({ ops: place.ops(raw).name }),
	title: ({ ops }) => `register ${ops}`,
	run: (value, { ops }) => ops.register(value.ops),
});

export const unregister = step("unregister", {
	value: opsName,
	doc: { form: ["unregister: probe"], does: "takes it off again" },
	hasErrno: true,
	read: (raw, place) => ({ ops: place.ops(raw).name }),
	title: ({ ops }) => `unregister ${ops}`,
	run: (value, { ops }) => ops.unregister(value.ops),
});
