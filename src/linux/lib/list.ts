import { declareState } from "../../base/index.js";
/**
 * The kernel's circular doubly linked list (include/linux/list.h), with its RCU variants (rculist.h).
 *
 * A plain array would be shorter, but not the same: a reader at an entry that `list_del_rcu` unlinks still reaches the
 * next entry through `next`, and livepatch relies on that.
 */
export class list_head<T> {
	static readonly state = declareState("list_head", { fields: "all" });

	next: list_head<T> = this;
	prev: list_head<T> = this;
	/** The object in which the entry is embedded (the kernel's container_of); undefined for the head of a list. */
	readonly owner: T | undefined;

	constructor(owner?: T) {
		this.owner = owner;
	}

	/** Entries from first to last; removing the entry just visited is allowed (the kernel's _safe iterators). */
	*[Symbol.iterator](): Generator<T, void, void> {
		for (let node = this.next; node !== this; ) {
			const next = node.next;
			yield node.owner as T;
			node = next;
		}
	}
}

function insert<T>(entry: list_head<T>, prev: list_head<T>, next: list_head<T>): void {
	entry.prev = prev;
	entry.next = next;
	prev.next = entry;
	next.prev = entry;
}

/** Adds right after `head`: a stack. Also stands for list_add_rcu, which differs only in its barrier. */
export function list_add<T>(entry: list_head<T>, head: list_head<T>): void {
	insert(entry, head, head.next);
}

export function list_add_tail<T>(entry: list_head<T>, head: list_head<T>): void {
	insert(entry, head.prev, head);
}

/** Unlinks; the entry is empty afterwards (list_del_init, so that a second one is harmless). */
export function list_del<T>(entry: list_head<T>): void {
	entry.prev.next = entry.next;
	entry.next.prev = entry.prev;
	entry.next = entry;
	entry.prev = entry;
}

/** Unlinks, but leaves `entry.next` as it is for readers that are on the entry. */
export function list_del_rcu<T>(entry: list_head<T>): void {
	entry.prev.next = entry.next;
	entry.next.prev = entry.prev;
}

export function list_empty<T>(head: list_head<T>): boolean {
	return head.next === head;
}

export function list_is_singular<T>(head: list_head<T>): boolean {
	return head.next !== head && head.next.next === head;
}
