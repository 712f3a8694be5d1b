/** What modules call besides the kernel's livepatch functions: data structures, semaphores, notifiers, texts, pages, random numbers, time. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CPUS_AND_CORES, HeaderModules } from "../../support/header-modules.js";
import type { TestMachine } from "../../support/machine.js";

/** A module whose init is `body`, behind declarations. */
const module = (declarations: string, body: string, exit = "") => `#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/module.h>
#include <linux/slab.h>
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("a test");
${declarations}
static int __init m_init(void) { ${body} return 0; }
static void __exit m_exit(void) { ${exit} }
module_init(m_init);
module_exit(m_exit);
`;

const MODULES = {
	rbtree: module(
		`#include <linux/rbtree.h>
struct item { struct rb_node node; unsigned int key; bool in; };
static struct item items[60];
static struct rb_root root = RB_ROOT;
static struct rb_root_cached cached = RB_ROOT_CACHED;
static bool less(struct rb_node *a, const struct rb_node *b)
{ return rb_entry(a, struct item, node)->key < rb_entry(b, struct item, node)->key; }
/* Black nodes from here to a leaf; -1: not a red-black tree. */
static int height(struct rb_node *n, struct rb_node *parent, bool red)
{
	int left, right; bool is_red;
	if (!n) return 0;
	is_red = !(n->__rb_parent_color & 1);
	if (rb_parent(n) != parent || (red && is_red)) return -1;
	left = height(n->rb_left, n, is_red); right = height(n->rb_right, n, is_red);
	return left < 0 || left != right ? -1 : left + !is_red;
}
static bool sorted(int count)
{
	struct rb_node *n; unsigned int last = 0; int seen = 0, back = 0;
	for (n = rb_first(&root); n; n = rb_next(n), seen++) {
		if (rb_entry(n, struct item, node)->key < last) return false;
		last = rb_entry(n, struct item, node)->key;
	}
	for (n = rb_last(&root); n; n = rb_prev(n)) back++;
	return seen == count && back == count && height(root.rb_node, NULL, false) >= 0;
}`,
		`unsigned int x = 7; int i, step, count = 0; struct item *pos, *next; struct item twin;
	for (step = 0; step < 600; step++) {
		x = x * 1103515245 + 12345;
		i = (x >> 16) % ARRAY_SIZE(items);
		if (items[i].in) rb_erase(&items[i].node, &root);
		else { items[i].key = (x >> 8) & 31; rb_add(&items[i].node, &root, less); }
		count += items[i].in ? -1 : 1;
		items[i].in = !items[i].in;
		if (step % 20 == 0 && !sorted(count)) { pr_err("wrong at %d\\n", step); return -EIO; }
	}
	twin = *rb_entry(rb_first(&root), struct item, node);
	rb_replace_node(rb_first(&root), &twin.node, &root);
	if (!sorted(count) || rb_first(&root) != &twin.node) return -EIO;
	i = 0;
	rbtree_postorder_for_each_entry_safe(pos, next, &root, node) i++;
	if (i != count) return -EIO;
	for (i = 0; i < 5; i++) { items[i].key = 10 - i; rb_add_cached(&items[i].node, &cached, less); }
	rb_erase_cached(&items[4].node, &cached);
	pr_info("first %u, empty %d\\n", rb_entry(rb_first_cached(&cached), struct item, node)->key, RB_EMPTY_ROOT(&root));`,
	),
	ids: module(
		`#include <linux/idr.h>
static DEFINE_IDR(idr); static DEFINE_IDA(ida);
static int each(int id, void *p, void *data) { return id == 100 ? 7 : 0; }`,
		`int id, next; void *p;
	for (id = 0; id < 5; id++)
		pr_info("%d\\n", idr_alloc(&idr, (void *)(0x1000L + id * 8), id == 3 ? 100 : 0, 0, GFP_KERNEL));
	pr_info("%lx\\n", (long)idr_find(&idr, 100));
	pr_info("gone %d\\n", idr_remove(&idr, 1) && !idr_find(&idr, 1));
	pr_info("again %d\\n", idr_alloc(&idr, &idr, 0, 0, GFP_KERNEL));
	pr_info("full %d\\n", idr_alloc(&idr, &idr, 0, 2, GFP_KERNEL));
	pr_info("cyclic %d\\n", idr_alloc_cyclic(&idr, &idr, 4, 6, GFP_KERNEL));
	pr_info("cyclic %d\\n", idr_alloc_cyclic(&idr, &idr, 4, 6, GFP_KERNEL));
	pr_info("cyclic %d\\n", idr_alloc_cyclic(&idr, &idr, 4, 6, GFP_KERNEL));
	idr_for_each_entry(&idr, p, id) pr_info("has %d\\n", id);
	pr_info("each %d, replaced %d\\n", idr_for_each(&idr, each, NULL), idr_replace(&idr, &ida, 0) == (void *)0x1000L);
	pr_info("missing %ld, empty %d\\n", PTR_ERR(idr_replace(&idr, &ida, 77)), idr_is_empty(&idr));
	idr_destroy(&idr);
	pr_info("empty %d\\n", idr_is_empty(&idr));
	id = ida_alloc(&ida, GFP_KERNEL);
	next = ida_alloc_min(&ida, 1, GFP_KERNEL);
	pr_info("ida %d %d %d\\n", id, next, ida_alloc_max(&ida, 1, GFP_KERNEL));
	ida_free(&ida, 0);
	pr_info("ida %d\\n", ida_alloc(&ida, GFP_KERNEL));
	ida_destroy(&ida);
	pr_info("ida empty %d\\n", ida_is_empty(&ida));`,
	),
	xarray: module(
		`#include <linux/xarray.h>
static DEFINE_XARRAY(xa); static DEFINE_XARRAY_ALLOC1(ids);`,
		`unsigned long i; void *p; u32 id, next = 0; int ret;
	for (i = 0; i < 9; i++) if (xa_err(xa_store(&xa, i * 70000, xa_mk_value(i), GFP_KERNEL))) return -EIO;
	pr_info("insert %d %d\\n", xa_insert(&xa, 0, &xa, GFP_KERNEL), xa_insert(&xa, 1, &xa, GFP_KERNEL));
	pr_info("load %lu %d\\n", xa_to_value(xa_load(&xa, 140000)), !xa_load(&xa, 2));
	pr_info("exchange %d\\n", xa_cmpxchg(&xa, 1, &ids, NULL, GFP_KERNEL) == &xa);
	pr_info("exchange %d\\n", xa_cmpxchg(&xa, 1, &xa, &ids, GFP_KERNEL) == &xa);
	pr_info("erase %d\\n", xa_erase(&xa, 1) == &ids);
	pr_info("erase %d\\n", xa_erase(&xa, 1) == NULL);
	xa_for_each_range(&xa, i, p, 1, 200000) pr_info("has %lu %lu\\n", i, xa_to_value(p));
	pr_info("reserve %d\\n", xa_reserve(&xa, 3, GFP_KERNEL));
	pr_info("null %d\\n", !xa_load(&xa, 3));
	xa_release(&xa, 3);
	xa_destroy(&xa);
	pr_info("empty %d\\n", xa_empty(&xa));
	ret = xa_alloc(&ids, &id, &xa, xa_limit_31b, GFP_KERNEL);
	pr_info("id %d %u\\n", ret, id);
	ret = xa_alloc_cyclic(&ids, &id, &xa, XA_LIMIT(1, 2), &next, GFP_KERNEL);
	pr_info("id %d %u, next %u\\n", ret, id, next);
	xa_erase(&ids, 1);
	ret = xa_alloc_cyclic(&ids, &id, &xa, XA_LIMIT(1, 2), &next, GFP_KERNEL);
	pr_info("id %d %u\\n", ret, id);
	pr_info("full %d\\n", xa_alloc(&ids, &id, &xa, XA_LIMIT(1, 2), GFP_KERNEL));
	xa_destroy(&ids);`,
	),
	chains: module(
		`#include <linux/notifier.h>
static int told(struct notifier_block *n, unsigned long action, void *data)
{ pr_info("%d is told %lu\\n", n->priority, action); return action == 9 ? NOTIFY_STOP : NOTIFY_OK; }
static struct notifier_block one = { .notifier_call = told, .priority = 1 }, five = { .notifier_call = told, .priority = 5 };
static BLOCKING_NOTIFIER_HEAD(blocking); static ATOMIC_NOTIFIER_HEAD(atomic); static RAW_NOTIFIER_HEAD(raw);
static int refuse; module_param(refuse, int, 0644);
static int seen(struct notifier_block *n, unsigned long state, void *data)
{
	struct module *mod = data;
	pr_info("%s is %lu, %d\\n", mod->name, state, mod->state);
	return refuse && state == MODULE_STATE_COMING ? notifier_from_errno(-EPERM) : NOTIFY_OK;
}
static int first(struct notifier_block *n, unsigned long state, void *data) { pr_info("first %lu\\n", state); return 0; }
static struct notifier_block modules = { .notifier_call = seen }, before = { .notifier_call = first, .priority = 1 };`,
		`blocking_notifier_chain_register(&blocking, &one);
	blocking_notifier_chain_register(&blocking, &five);
	pr_info("%x\\n", blocking_notifier_call_chain(&blocking, 3, NULL));
	pr_info("%x\\n", blocking_notifier_call_chain(&blocking, 9, NULL));
	pr_info("%d\\n", blocking_notifier_chain_unregister(&blocking, &one));
	pr_info("%d\\n", blocking_notifier_chain_unregister(&blocking, &one));
	atomic_notifier_chain_register(&atomic, &one);
	atomic_notifier_call_chain(&atomic, 1, NULL);
	atomic_notifier_chain_unregister(&atomic, &one);
	raw_notifier_chain_register(&raw, &one);
	raw_notifier_call_chain(&raw, 2, NULL);
	register_module_notifier(&modules);
	register_module_notifier(&before);`,
		"unregister_module_notifier(&modules); unregister_module_notifier(&before);",
	),
	semaphores: module(
		`#include <linux/semaphore.h>
#include <linux/kthread.h>
static DEFINE_SEMAPHORE(sem, 2);
static int other(void *data) { down(&sem); pr_info("the other has it\\n"); up(&sem); return 0; }`,
		`if (down_interruptible(&sem)) return -EINTR;
	down(&sem);
	pr_info("try %d, timeout %d\\n", down_trylock(&sem), down_timeout(&sem, 2));
	kthread_run(other, NULL, "other");
	pr_info("it is free again\\n");
	up(&sem);
	up(&sem);
	pr_info("try %d\\n", down_trylock(&sem));
	up(&sem);`,
	),
	texts: module(
		`#include <linux/ctype.h>
#include <linux/hex.h>
#include <linux/list_sort.h>
#include <linux/llist.h>
#include <linux/random.h>
#include <linux/timekeeping.h>
struct item { struct list_head node; struct llist_node lock_free; int key, place; };
static int compare(void *p, const struct list_head *a, const struct list_head *b)
{ return list_entry(a, struct item, node)->key - list_entry(b, struct item, node)->key; }
static LLIST_HEAD(lock_free);`,
		`static u8 bytes[40]; char text[20]; int a, b, i; LIST_HEAD(list); struct timespec64 now;
	static struct item items[] = { { .key = 2 }, { .key = 1 }, { .key = 2 }, { .key = 0 } }; struct item *pos;
	i = sscanf("12 ab 0x1f", "%d %s %i", &a, text, &b);
	pr_info("%d: %d %s %d\\n", i, a, text, b);
	for (i = 0; i < 40; i++) bytes[i] = i + 60;
	print_hex_dump(KERN_INFO, "offset ", DUMP_PREFIX_OFFSET, 16, 1, bytes, 20, true);
	print_hex_dump(KERN_INFO, "words ", DUMP_PREFIX_NONE, 32, 4, bytes, 40, false);
	i = hex2bin(bytes, "0aFF", 2);
	pr_info("%d %d %02x%02x\\n", i, hex2bin(bytes, "0g", 1), bytes[0], bytes[1]);
	pr_info("%d %d %c\\n", isspace('\\t'), isxdigit('g'), toupper('q'));
	for (i = 0; i < 4; i++) { items[i].place = i; list_add_tail(&items[i].node, &list); llist_add(&items[i].lock_free, &lock_free); }
	list_sort(NULL, &list, compare);
	list_for_each_entry(pos, &list, node) pr_info("key %d place %d\\n", pos->key, pos->place);
	pr_info("lock-free %d\\n", llist_entry(llist_del_first(&lock_free), struct item, lock_free)->place);
	get_random_bytes(bytes, 8);
	pr_info("random %d %d %u\\n", get_random_u32() != get_random_u32(), get_random_u64() >> 32 != 0, get_random_u32_below(1));
	ktime_get_real_ts64(&now);
	pr_info("time %d\\n", now.tv_sec == ktime_get_real_seconds() && ktime_get_real_ns() / NSEC_PER_SEC == now.tv_sec);`,
	),
	lines: module(
		"",
		`pr_info("one");
	pr_cont(" two");
	pr_cont(" three\\n");
	pr_cont("alone\\n");
	pr_info("open");
	pr_info("next\\ncut");`,
	),
	references: module(
		"#include <linux/kmod.h>",
		`pr_info("get %d\\n", try_module_get(THIS_MODULE));
	pr_info("count %d\\n", module_refcount(THIS_MODULE));
	__module_get(THIS_MODULE);
	module_put(THIS_MODULE);
	module_put(THIS_MODULE);
	pr_info("count %d, null %d, request %d\\n", module_refcount(THIS_MODULE), try_module_get(NULL), request_module("none"));`,
	),
	percpu: module(
		`#include <linux/percpu.h>
struct counts { long a, b; };
static struct counts __percpu *counts;
static DEFINE_PER_CPU(long, fixed) = 5;`,
		`int cpu; long sum = 0; void __percpu *large;
	counts = alloc_percpu(struct counts);
	if (!counts) return -ENOMEM;
	for_each_possible_cpu(cpu) { per_cpu_ptr(counts, cpu)->a = 10 * (cpu + 1); sum += per_cpu_ptr(counts, cpu)->b; }
	this_cpu_add(counts->b, 3);
	this_cpu_inc(fixed);
	get_cpu_ptr(counts)->b++;
	put_cpu_ptr(counts);
	for_each_possible_cpu(cpu) sum += per_cpu_ptr(counts, cpu)->a + per_cpu_ptr(counts, cpu)->b + per_cpu(fixed, cpu);
	large = __alloc_percpu(4096, 8);
	pr_info("sum %ld, large %d\\n", sum, large != NULL);`,
		"free_percpu(counts);",
	),
	objects: module(
		`#include <linux/kobject.h>
#include <linux/sysfs.h>
struct thing { struct kobject kobj; int value; };
static ssize_t by_type(struct kobject *k, struct attribute *a, char *buf) { return sysfs_emit(buf, "%s of %s is %d\\n", a->name, kobject_name(k), container_of(k, struct thing, kobj)->value); }
static ssize_t store(struct kobject *k, struct attribute *a, const char *buf, size_t n) { return kstrtoint(buf, 0, &container_of(k, struct thing, kobj)->value) ?: n; }
static const struct sysfs_ops ops = { .show = by_type, .store = store };
static struct attribute value = { .name = "value", .mode = 0644 };
static struct attribute *thing_attrs[] = { &value, NULL };
ATTRIBUTE_GROUPS(thing);
static void release(struct kobject *k) { pr_info("%s is released\\n", kobject_name(k)); kfree(container_of(k, struct thing, kobj)); }
static const struct kobj_type type = { .release = release, .sysfs_ops = &ops, .default_groups = thing_groups };
static ssize_t plain_show(struct kobject *k, struct kobj_attribute *a, char *buf) { return sysfs_emit(buf, "plain\\n"); }
static struct kobj_attribute plain = __ATTR_RO(plain);
static struct attribute *other_attrs[] = { &plain.attr, NULL };
ATTRIBUTE_GROUPS(other);
static const struct kobj_type other = { .release = release, .sysfs_ops = &kobj_sysfs_ops, .default_groups = other_groups };
static struct kset *set; static struct thing *a, *b;
static struct thing *make(int value) { struct thing *t = kzalloc(sizeof(*t), GFP_KERNEL); t->value = value; t->kobj.kset = set; return t; }`,
		`char *path; int ret;
	set = kset_create_and_add("set", NULL, kernel_kobj);
	a = make(3);
	b = make(4);
	if (kobject_init_and_add(&a->kobj, &type, NULL, "a%d", 1)) return -EIO;
	kobject_init(&b->kobj, &other);
	ret = kobject_add(&b->kobj, &a->kobj, "b/c");
	if (ret) return ret;
	kobject_uevent(&a->kobj, KOBJ_ADD);
	path = kobject_get_path(&b->kobj, GFP_KERNEL);
	pr_info("%s\\n", path);
	kfree(path);
	ret = kobject_init_and_add(&make(5)->kobj, &type, NULL, "a1");
	pr_info("twice %d\\n", ret);`,
		"kobject_del(&b->kobj); kobject_put(&b->kobj); kobject_put(&a->kobj); kset_unregister(set);",
	),
	described: module(
		`static int x = 3; module_param(x, int, 0444); MODULE_VERSION("1.2"); MODULE_INFO(srcversion, "0123456789ABCDEF0123456");
static DEFINE_PER_CPU(long, fixed);
noinline void described(void); noinline void described(void) { this_cpu_inc(fixed); }`,
		"described();",
	),
	caches: module(
		`struct object { char text[40]; };
static struct kmem_cache *plain, *made;
static void ctor(void *p) { memset(p, 7, 40); }`,
		`void *a, *b;
	made = kmem_cache_create("made", 40, 0, SLAB_HWCACHE_ALIGN, ctor);
	plain = KMEM_CACHE(object, 0);
	a = kmem_cache_alloc(made, GFP_KERNEL);
	b = kmem_cache_zalloc(plain, GFP_KERNEL);
	pr_info("%d %d, size %u\\n", *(char *)a, *(char *)b, kmem_cache_size(made));
	kmem_cache_free(made, a);
	kfree(b);
	kmem_cache_destroy(plain);
	a = kmem_cache_alloc(made, GFP_KERNEL);
	kmem_cache_destroy(made);
	kmem_cache_free(made, a);
	kmem_cache_destroy(made);
	kmem_cache_destroy(NULL);`,
	),
	pages: module(
		"#include <linux/gfp.h>",
		`unsigned long page = __get_free_pages(GFP_KERNEL, 1), zero = get_zeroed_page(GFP_KERNEL); void *exact;
	memset((void *)page, 1, 2 * PAGE_SIZE);
	pr_info("aligned %d, zero %d\\n", !(page & ~PAGE_MASK), *(int *)zero);
	free_pages(page, 1);
	free_page(zero);
	exact = alloc_pages_exact(5000, GFP_KERNEL);
	memset(exact, 0, 5000);
	free_pages_exact(exact, 5000);
	exact = kmalloc(100, GFP_KERNEL);
	pr_info("ksize %zu %zu\\n", ksize(exact), ksize(NULL));
	kfree(exact);`,
	),
};

const modules = new HeaderModules();
beforeAll(() => modules.build(MODULES));

describe.each(CPUS_AND_CORES)("on %s, %s core", (cpu, core) => {
	let machine: TestMachine;
	beforeEach(async ({ skip }) => {
		machine = await modules.machine([cpu, core], skip);
	});
	afterEach(() => machine?.close());
	const insmod = (name: keyof typeof MODULES) => machine.insmodC(name, modules.get(name));
	/** What the module itself has printed. */
	const told = (name: string) =>
		machine
			.dmesg(`${name}: `)
			.filter((line) => !/taint/.test(line))
			.map((line) => line.slice(name.length + 2));

	test("rbtree: 600 insertions and removals leave a sorted red-black tree", () => {
		expect(insmod("rbtree")).toBe(0);
		expect(told("rbtree")).toEqual(["first 7, empty 0"]);
	});

	test("IDR and IDA", () => {
		expect(insmod("ids")).toBe(0);
		expect(told("ids")).toEqual([
			...["0", "1", "2", "100", "3", "1018", "gone 1", "again 1", "full -28", "cyclic 4", "cyclic 5", "cyclic -28"],
			...["has 0", "has 1", "has 2", "has 3", "has 4", "has 5", "has 100", "each 7, replaced 1", "missing -2, empty 0"],
			...["empty 1", "ida 0 1 -28", "ida 0", "ida empty 1"],
		]);
		expect(machine.it.heap.count).toBe(core === "compiled" ? machine.it.heap.count : 0);
	});

	test("XArray", () => {
		expect(insmod("xarray")).toBe(0);
		expect(told("xarray")).toEqual([
			...["insert -16 0", "load 2 1", "exchange 1", "exchange 1", "erase 1", "erase 1", "has 70000 1", "has 140000 2"],
			...["reserve 0", "null 1", "empty 1", "id 0 1", "id 0 2, next 3", "id 1 1", "full -16"],
		]);
	});

	test("notifier chains, and those that are told of modules", () => {
		expect(insmod("chains")).toBe(0);
		expect(told("chains")).toEqual([
			...["5 is told 3", "1 is told 3", "1", "5 is told 9", "8001", "0", "-2", "1 is told 1", "1 is told 2"],
			// It has registered in its own init.
			...["first 0", "chains is 0, 0"],
		]);
		machine.it.dmesg.records.length = 0;
		expect(insmod("pages")).toBe(0);
		expect(machine.it.shell.rmmod("pages")).toBe(0);
		expect(told("chains")).toEqual([
			...["first 1", "pages is 1, 1", "first 0", "pages is 0, 0", "first 2", "pages is 2, 2"],
		]);
		machine.it.dmesg.records.length = 0;
		expect(machine.it.shell.write("/sys/module/chains/parameters/refuse", "1")).toBe(0);
		expect(insmod("pages")).toBe(-1);
		expect(told("chains")).toEqual(["first 1", "pages is 1, 1", "first 2"]);
		expect(machine.it.modules.has("pages")).toBe(false);
		expect(machine.it.shell.rmmod("chains")).toBe(0);
		machine.it.dmesg.records.length = 0;
		expect(insmod("pages")).toBe(0);
		expect(told("chains")).toEqual([]);
	});

	test("semaphores", () => {
		expect(insmod("semaphores")).toBe(0);
		machine.until(() => told("semaphores").includes("the other has it"));
		expect(told("semaphores")).toEqual(
			expect.arrayContaining(["try 1, timeout -62", "it is free again", "try 0", "the other has it"]),
		);
	});

	test("texts, lists, random numbers and time", () => {
		expect(insmod("texts")).toBe(0);
		const hex = (from: number, to: number) =>
			Array.from({ length: to - from }, (_, i) => (from + i).toString(16).padStart(2, "0")).join(" ");
		expect(told("texts")).toEqual([
			...["3: 12 ab 31", "0 -22 0aff", "1 0 Q", "key 0 place 3", "key 1 place 1", "key 2 place 0", "key 2 place 2"],
			...["lock-free 3", "random 1 1 0", "time 1"],
		]);
		expect(machine.dmesg("offset ")).toEqual([
			`offset 00000000: ${hex(60, 76)}  <=>?@ABCDEFGHIJK`,
			`offset 00000010: ${hex(76, 80).padEnd(16 * 3)} LMNO`,
		]);
		expect(machine.dmesg("words ")).toEqual([
			"words 3f3e3d3c 43424140 47464544 4b4a4948 4f4e4d4c 53525150 57565554 5b5a5958",
			"words 5f5e5d5c 63626160",
		]);
	});

	test("pr_cont() goes on with a line that has no end yet", () => {
		expect(insmod("lines")).toBe(0);
		expect(machine.dmesg().slice(machine.dmesg().indexOf("lines: one two three"))).toEqual([
			...["lines: one two three", "alone", "lines: open", "lines: next", "cut"],
		]);
		const folded = machine.it.dmesg.records.filter(({ continues }) => continues);
		expect(folded.map(({ text }) => text)).toEqual([" two", " three"]);
	});

	test("a module's references", () => {
		expect(insmod("references")).toBe(0);
		expect(told("references")).toEqual(["get 1", "count 1", "count 0, null 1, request -2"]);
		expect(machine.it.shell.rmmod("references")).toBe(0);
	});

	test("alloc_percpu(): each CPU has its own, apart from the modules' variables", () => {
		expect(insmod("percpu")).toBe(0);
		expect(told("percpu")).toEqual([
			"allocation failed, size=4096 align=8 atomic=0, klpemu has 2048 bytes for each CPU",
			"sum 45, large 0",
		]);
		expect(machine.it.shell.rmmod("percpu")).toBe(0);
		expect(machine.it.percpu.chunk.lowest).toBe(4096);
		expect(insmod("percpu")).toBe(0);
	});

	test("kmem_cache: constructors, and what is left when a cache goes", () => {
		expect(insmod("caches")).toBe(0);
		expect(told("caches")).toEqual(["7 0, size 40"]);
		expect(machine.dmesg("BUG ")).toEqual([
			"BUG made (Not tainted): Objects remaining in made on __kmem_cache_shutdown()",
		]);
		expect(machine.it.dmesg.warnings).toEqual([
			expect.stringContaining("kmem_cache_destroy made: Slab cache still has"),
		]);
	});

	test("/sys/module: what the kernel shows of each module", () => {
		expect(insmod("described")).toBe(0);
		const path = (name: string) => `/sys/module/described/${name}`;
		const cat = (name: string) => machine.it.shell.read(path(name));
		expect(["taint", "version", "initsize", "initstate", "refcnt"].map(cat)).toEqual([
			...["O\n", "1.2\n", "0\n", "live\n", "0\n"],
		]);
		expect(cat("srcversion")).toMatch(/^[0-9A-F]{23}\n$/);
		expect(Number(cat("coresize")) % 4096).toBe(0);
		const text = `0x${BigInt.asUintN(64, BigInt(machine.addr("m_init") & -4096)).toString(16)}`;
		expect(cat("sections/.init.text")).toMatch(/^0xffffffff[0-9a-f]{8}\n$/);
		expect(cat("sections/.text")).toMatch(text.slice(0, -4));
		expect(cat("notes/.note.gnu.build-id")).toContain("\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0");
		expect(machine.it.shell.write(path("uevent"), "add")).toBe(0);
		expect(machine.it.shell.write(path("taint"), "P")).toBe(-13);
		const rights = ["", "sections", "sections/.text", "uevent", "parameters/x"].map((name) =>
			machine.it.files.rights(path(name).replace(/\/$/, "")),
		);
		expect(rights).toEqual(["drwxr-xr-x", "drwxr-xr-x", "-r--------", "--w-------", "-r--r--r--"]);
		const paths = machine.it.files.paths();
		expect(paths).toContain(path("parameters/x"));
		expect(paths.filter((one) => /described\/sections\/(\.modinfo|__versions|\.data\.\.percpu)/.test(one))).toEqual([]);
		expect(machine.it.files.rights("/sys/module/pages/parameters")).toBeUndefined();
	});

	test("kobjects with types of their own, in a kset", () => {
		expect(insmod("objects")).toBe(0);
		expect(told("objects")).toEqual(["/kernel/set/a1/b!c", "twice -17"]);
		expect(machine.dmesg("kobject_add_internal failed for a1")).toHaveLength(1);
		const at = "/sys/kernel/set/a1";
		expect(machine.it.files.rights(at)).toBe("drwxr-xr-x");
		expect(machine.it.shell.read(`${at}/value`)).toBe("value of a1 is 3\n");
		expect(machine.it.shell.write(`${at}/value`, "0x10")).toBe(0);
		expect(machine.it.shell.read(`${at}/value`)).toBe("value of a1 is 16\n");
		expect(machine.it.shell.read(`${at}/b!c/plain`)).toBe("plain\n");
		expect(machine.it.shell.write(`${at}/b!c/plain`, "x")).toBe(-13);
		expect(machine.it.shell.rmmod("objects")).toBe(0);
		expect(told("objects").slice(-2)).toEqual(["b!c is released", "a1 is released"]);
		expect(machine.it.files.paths().filter((path) => path.startsWith("/sys/kernel/set"))).toEqual([]);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});

	test("pages", () => {
		expect(insmod("pages")).toBe(0);
		expect(told("pages")).toEqual(["aligned 1, zero 0", "ksize 128 0"]);
		expect(machine.it.dmesg.warnings).toEqual([]);
	});
});
