/** Steps are executed where the machine stands, before the search comes to them: it goes back to fewer states. */
import { expect, test } from "vitest";
import { exploreModel, modelOf, PATCHES } from "./support.js";

test("few steps are made again to return to a state", async () => {
	const model = await modelOf(`${PATCHES}
tasks: { worker: { calls: [funcA, funcB] } }
steps: [{ insmod: lp1 }, settle, { insmod: lp2 }, settle, { disable: lp2 }, settle]`);
	const { result, executed } = await exploreModel(model);
	expect(result).toBe("complete");
	expect(executed.replayed / executed.kernel).toBeLessThan(7);
});
