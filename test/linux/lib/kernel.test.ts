import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	Dmesg,
	EBUSY,
	errnoName,
	type Kernel,
	list_add,
	list_add_tail,
	list_del,
	list_del_rcu,
	list_empty,
	list_head,
	list_is_singular,
	mutex,
	Printer,
	runStraight,
	wait,
} from "../../../src/linux/lib/index.js";

describe("list_head", () => {
	const make = (...names: string[]) => {
		const head = new list_head<string>();
		const nodes = names.map((name) => new list_head(name));
		for (const node of nodes) list_add_tail(node, head);
		return { head, nodes };
	};
	test("list_add is a stack, list_add_tail a queue", () => {
		const { head } = make("a", "b");
		list_add(new list_head("c"), head);
		expect([...head]).toEqual(["c", "a", "b"]);
	});
	test("a reader that stands on an entry while it is unlinked with list_del_rcu finds its way on", () => {
		const { head, nodes } = make("a", "b", "c");
		const reader = nodes[1]!;
		list_del_rcu(reader);
		expect([...head]).toEqual(["a", "c"]);
		expect(reader.next.owner).toBe("c");
		list_del(nodes[2]!);
		expect(nodes[2]!.next).toBe(nodes[2]);
	});
	test("the entry just visited may be removed", () => {
		const { head, nodes } = make("a", "b", "c");
		const seen: string[] = [];
		for (const name of head) {
			seen.push(name);
			list_del(nodes[["a", "b", "c"].indexOf(name)]!);
		}
		expect([seen, list_empty(head)]).toEqual([["a", "b", "c"], true]);
	});
	test("list_del twice does no harm", () => {
		const { head, nodes } = make("a", "b");
		list_del(nodes[0]!);
		list_del(nodes[0]!);
		expect([...head]).toEqual(["b"]);
	});
	test("is an array with other words", () => {
		const operation = fc.record({ kind: fc.constantFrom("add", "tail", "del"), at: fc.nat(9) });
		fc.assert(
			fc.property(fc.array(operation), (operations) => {
				const head = new list_head<number>();
				const nodes = Array.from({ length: 10 }, (_, index) => new list_head(index));
				let model: number[] = [];
				for (const { kind, at } of operations) {
					const there = model.includes(at);
					if (kind === "del") {
						list_del(nodes[at]!);
						model = model.filter((other) => other !== at);
					} else if (!there) {
						(kind === "add" ? list_add : list_add_tail)(nodes[at]!, head);
						model = kind === "add" ? [at, ...model] : [...model, at];
					}
					expect([...head]).toEqual(model);
					expect([list_empty(head), list_is_singular(head)]).toEqual([model.length === 0, model.length === 1]);
				}
			}),
			{ seed: 1 },
		);
	});
});

describe("runStraight", () => {
	function* code(): Kernel<number> {
		yield "first";
		yield wait("a wait that holds", () => true);
		yield wait("a wait", () => ready);
		yield "last";
		return 42;
	}
	let ready = false;
	test("visits each point, blocks where it must, returns the result", () => {
		const log: string[] = [];
		ready = false;
		const result = runStraight(
			code(),
			(label) => log.push(label),
			(wait) => {
				log.push(`blocked on ${wait.label}`);
				ready = true;
			},
		);
		expect([result, log]).toEqual([42, ["first", "blocked on a wait", "last"]]);
	});
	test("a wait that cannot become ready: an error, not an endless loop", () => {
		ready = false;
		expect(() => runStraight(code())).toThrow("a wait: would wait forever");
	});
});

describe("mutex", () => {
	test("the second task waits until the first has finished", () => {
		const lock = new mutex("klp_mutex");
		runStraight(lock.lock());
		const second = lock.lock();
		const wait = second.next().value as { label: string; ready(): boolean };
		expect([wait.label, wait.ready()]).toEqual(["mutex_lock(klp_mutex)", false]);
		lock.unlock();
		expect(wait.ready()).toBe(true);
		expect([second.next().done, lock.locked]).toEqual([true, true]);
	});
	test("of two that wait, only one gets it", () => {
		const lock = new mutex("m");
		runStraight(lock.lock());
		const [a, b] = [lock.lock(), lock.lock()];
		const waits = [a, b].map((waiter) => waiter.next().value as { ready(): boolean });
		lock.unlock();
		expect(waits.map((wait) => wait.ready())).toEqual([true, true]);
		expect(a.next().done).toBe(true);
		// The other looks again before it goes on.
		const step = b.next();
		expect(step.done).toBe(false);
		expect((step.value as { ready(): boolean }).ready()).toBe(false);
	});
});

describe("dmesg", () => {
	test("levels and prefixes", () => {
		const dmesg = new Dmesg();
		const print = new Printer(dmesg, "livepatch: ");
		print.pr_err("a");
		print.pr_warn("b");
		print.pr_notice("c");
		print.pr_info("d");
		print.pr_debug("e");
		expect(dmesg.records).toEqual(
			["a", "b", "c", "d", "e"].map((text, index) => ({ level: index + 3, text: `livepatch: ${text}` })),
		);
	});
	test("WARN_ON prints each time, WARN_ON_ONCE once; both count and give the condition back", () => {
		const dmesg = new Dmesg();
		expect([dmesg.WARN_ON(false, "x"), dmesg.WARN_ON(true, "x"), dmesg.WARN_ON(true, "x")]).toEqual([
			false,
			true,
			true,
		]);
		expect([dmesg.WARN_ON_ONCE(true, "y"), dmesg.WARN_ON_ONCE(true, "y")]).toEqual([true, true]);
		expect(dmesg.lines()).toEqual(["WARNING: x", "WARNING: x", "WARNING: y"]);
		expect(dmesg.warnings).toEqual(["x", "x", "y", "y"]);
	});
});

test("errnos have their names", () => {
	expect([errnoName(-EBUSY), errnoName(-98), errnoName(-12345)]).toEqual(["-EBUSY", "-EADDRINUSE", "-12345"]);
});
