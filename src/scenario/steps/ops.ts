import * as v from "valibot";
import { opsName, symbol } from "../values.js";
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
	doc: { form: ["unregister: probe"], does: "detaches it" },
	hasErrno: true,
	read: (raw, place) => ({ ops: place.ops(raw).name }),
	title: ({ ops }) => `unregister ${ops}`,
	run: (value, { ops }) => ops.unregister(value.ops),
});

export const modify = step("modify", {
	value: v.strictObject({ ops: opsName, direct: symbol }),
	doc: {
		form: ["modify: { ops: fentry, direct: other_tramp }"],
		does: "gives a registered direct ops another function, while tasks call it (modify_ftrace_direct)",
	},
	hasErrno: true,
	read: (raw, place) => {
		const { name, direct } = place.ops(raw.ops);
		if (direct === undefined) {
			const hint = "only an ops with `direct` has a function that can be exchanged";
			throw place.at("ops").error("SCENARIO_BAD_VALUE", `'${name}' calls no direct function`, hint);
		}
		return { ops: name, direct: place.at("direct").func(raw.direct) };
	},
	title: ({ ops, direct }) => `modify ${ops} to ${direct}`,
	run: ({ ops: name, direct }, { ops }) => ops.modify(name, direct),
});
