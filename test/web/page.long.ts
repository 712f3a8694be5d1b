/**
 * The page in a real browser: Debian's chromium. The folder is served by klpemu serve's server, and below a path by another one. The page is
 * what `npm run build` has made (npm run test:long runs it first).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { compile, PROJECT } from "../../src/node/index.js";
import { ENDLESS_RACE } from "../support/small-scenario.js";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
/** What the page may load before it can be explored: megabytes, and files. Times are printed only: they are the machine's. */
const LOADED = { megabytes: 1.2, files: 16 };
/** What may be in the document, however long the run is. */
const MAX_ELEMENTS = 3000;

if (CHROMIUM === undefined)
	process.stderr.write("the page is not tested: there is no chromium (apt-get install -y chromium)\n");

// A browser on a busy machine: a test may be tried again.
describe.skipIf(CHROMIUM === undefined)("the page", { retry: 2 }, () => {
	let browser: Browser;
	let server: ChildProcess;
	let url: string;
	let page: Page;
	const wrong: string[] = [];

	beforeAll(async () => {
		const main = join(PROJECT, "src/node/cli/main.ts");
		server = spawn(process.execPath, ["--import", "tsx", main, "serve", "--port", "0"], { cwd: PROJECT });
		url = await new Promise((resolve, reject) => {
			server.stdout!.on("data", (text) => resolve(String(text).trim()));
			server.stderr!.on("data", (text) => reject(new Error(String(text))));
		});
		browser = await chromium.launch({ executablePath: CHROMIUM!, args: ["--no-sandbox"] });
	});
	afterAll(async () => {
		await browser?.close();
		server?.kill();
	});
	afterEach(async () => {
		await page?.close();
		// No error in the console, and nothing that the policy had to stop.
		expect(wrong.splice(0)).toEqual([]);
	});

	async function open(hash = "", options: Parameters<Browser["newPage"]>[0] = {}, address = url): Promise<void> {
		page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
		page.setDefaultTimeout(180_000);
		page.on("console", (message) => {
			if (["error", "warning"].includes(message.type())) wrong.push(message.text());
		});
		page.on("pageerror", (error) => wrong.push(error.message));
		await page.goto(address + hash);
		await settled();
	}

	const settled = () =>
		page.waitForFunction(
			() =>
				document.querySelector("#panel section, #problem:not([hidden])") && !document.body.classList.contains("busy"),
		);
	/** Shows a scenario that is no file, by a name that the page does not know. */
	async function openText(name: string, design: string, scenario: string): Promise<void> {
		await open();
		const packed = await page.evaluate(async (source) => {
			const stream = new Blob([source]).stream().pipeThrough(new CompressionStream("deflate-raw"));
			const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
			return btoa(String.fromCharCode(...bytes))
				.replaceAll("+", "-")
				.replaceAll("/", "_")
				.replace(/=+$/, "");
		}, scenario);
		await page.evaluate((link) => {
			location.hash = link;
		}, `#scenario=${name}&design=${design}&beside=&schedule=run&text=${packed}`);
		await expect.poll(() => text("#title")).toContain(name);
		await settled();
	}

	const now = () => page.locator(".now").innerText();
	const instant = async () => Number(/ (\d+) of \d+:/.exec(await now())![1]);
	const tool = (name: string) => page.locator(".tools button", { hasText: name }).click();
	const text = (selector: string) => page.locator(selector).innerText();

	test("paints and can be explored soon: not much is loaded before", async () => {
		await open();
		const { paint, ready, files, bytes } = await page.evaluate(() => {
			const loaded = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
			return {
				paint: performance.getEntriesByName("first-contentful-paint")[0]!.startTime,
				ready: performance.now(),
				files: loaded.length,
				bytes: loaded.reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0),
			};
		});
		process.stderr.write(
			`page: first paint ${Math.round(paint)} ms, explorable before ${Math.round(ready)} ms, ${files} files of ${bytes} bytes\n`,
		);
		expect(bytes).toBeGreaterThan(100_000);
		expect(bytes / 1e6).toBeLessThan(LOADED.megabytes);
		expect(files).toBeLessThanOrEqual(LOADED.files);
	});

	test("the first screen answers the mail, beside universe, at the moment that goes wrong", async () => {
		await open();
		expect(await text("#answer")).toBe("rfc-2025: no. universe: yes.");
		const sides = await page.locator(".side .verdict").allInnerTexts();
		expect(sides[0]).toContain("goes from original to lp1_funcA for funcA, although it does not switch there");
		expect(sides[1]).toContain(
			"breaks nothing. At its end every task runs lp1_funcA for funcA and lp3_funcB for funcB.",
		);
		expect(await now()).toContain("klp_unpatch_func: list_del_rcu(nop of funcA)");
		expect(await text(".changes")).toContain("funcA: func_stack [lp1_funcA], was [nop, lp1_funcA]");
		const crosses = page.locator(".side").first().locator(".cross");
		expect(await crosses.count()).toBeGreaterThanOrEqual(4);
		await expect.poll(() => page.locator(".side").first().locator(".sentence").last().isVisible()).toBe(true);
		expect(await page.locator(".side").nth(1).locator(".cross").count()).toBe(0);
	});

	test("step, back, switches, violations, the ends: by keys and by buttons", async () => {
		await open();
		const end = await instant();
		await page.keyboard.press("ArrowLeft");
		expect(await instant()).toBe(end - 1);
		expect(await text(".stack:has-text('funcA')")).toContain("nop");
		await page.keyboard.press("ArrowRight");
		expect(await instant()).toBe(end);
		await page.keyboard.press("V");
		const violation = await instant();
		expect(violation).toBeLessThan(end);
		await page.keyboard.press("v");
		expect(await instant()).toBe(end);
		await page.keyboard.press("Home");
		expect(await instant()).toBe(0);
		await page.getByRole("button", { name: "next switch" }).click();
		expect(await text(".changes")).toMatch(/UNPATCHED → PATCHED/);
		await page.keyboard.press("End");
		expect(await instant()).toBe(end);
		const rows = await page.locator(".side").first().locator(".row").count();
		await page.keyboard.press("Home");
		await page.keyboard.press("ArrowRight");
		await page.keyboard.press("e");
		expect(await page.locator(".side").first().locator(".row.opened").count()).toBeGreaterThan(10);
		expect(rows).toBeGreaterThan(5);
		await page.keyboard.press("o");
		expect(await now()).toContain("universe");
	});

	test("a click on time shows that instant, on both sides; machine code is what it was then", async () => {
		await open();
		await page.keyboard.press("Home");
		await page.locator(".side").first().locator(".row", { hasText: "insmod lp1" }).first().click();
		await page.waitForSelector(".insn.site");
		expect(await text(".insn.site")).toMatch(/e8 .. .. .. ..\s+callq <ftrace_trampoline\[funcA\]>/);
		await page.keyboard.press("Home");
		await expect.poll(() => text(".insn.site")).toMatch(/0f 1f 44 00 00\s+nopl/);
		expect(await page.locator(".side").nth(1).locator(".row.chosen").count()).toBe(0);
	});

	test("registers, stack and frames of a task in a trampoline; a value says where it came from", async () => {
		await open(
			"#scenario=scenarios/hybrid-lp1-lp2-lp3.yaml&design=rfc-2025&beside=&schedule=schedules/hybrid-lp1-lp2-lp3.rfc-2025.use-after-free.schedule&task=worker/0",
		);
		expect(await text(".frames")).toMatch(/ftrace_trampoline\[funcA\]|klp_ftrace_handler|funcA/);
		expect(await page.locator(".register").count()).toBe(18);
		expect(await page.locator(".word").count()).toBeGreaterThan(5);
		await page.locator(".files button").first().click();
		expect(await text(".origin")).toMatch(/came with step \d+: shell, insmod lp1/);
		const before = await instant();
		await page.locator(".origin button").click();
		expect(await instant()).toBeLessThan(before);
		// One register, and one word of the stack.
		await page.keyboard.press("End");
		await page.locator(".register button").last().click();
		expect(await text(".origin")).toMatch(/^worker\/0's rflags (came with step \d+: |is as it was at the beginning)/);
		await page.locator(".word button").last().click();
		expect(await text(".origin")).toMatch(/^worker\/0's word at ffff[0-9a-f]{12} (came with step|is as it was)/);
	});

	test("a link reproduces the view, and another moment in it moves the view", async () => {
		await open();
		await page.keyboard.press("ArrowLeft");
		await page.keyboard.press("ArrowLeft");
		const [shown, link] = [await now(), await page.evaluate(() => location.hash)];
		await page.close();
		await open(link);
		expect(await now()).toBe(shown);
		await page.evaluate(
			(hash) => {
				location.hash = hash;
			},
			link.replace(/at=\d+/, "at=3"),
		);
		await expect.poll(instant).toBe(3);
	});

	test("choose another scenario, design and schedule; a run has no schedule", async () => {
		await open();
		await page.locator("#toolbar select").first().selectOption({ label: "Preemption on the trampoline" });
		await settled();
		await page.getByLabel("Schedule").selectOption({ label: "breaks freed-text" });
		await expect.poll(() => text(".side .verdict")).toContain("unmapped");
		await page.getByLabel("Schedule").selectOption("run");
		await expect.poll(() => text(".side .verdict")).toContain("This run breaks nothing");
	});

	test("two schedules of one design beside each other, and a link to both", async () => {
		await open(
			"#scenario=scenarios/hybrid-lp1-lp2-lp3.yaml&design=rfc-2025&schedule=schedules/hybrid-lp1-lp2-lp3.rfc-2025.sudden-change.schedule",
		);
		await page.getByLabel("Beside it").selectOption({ label: "rfc-2025, breaks use-after-free" });
		await settled();
		await expect.poll(() => text("#answer")).toBe("rfc-2025, sudden-change: no. rfc-2025, use-after-free: no.");
		const remark = await page.locator(".side").nth(1).locator(".remark").last().innerText();
		const common = Number(/^The first (\d+) steps are the same/.exec(remark)![1]);
		expect(common).toBeGreaterThan(10);
		await page.keyboard.press("Home");
		for (let i = 0; i < 5; i++) await page.keyboard.press("ArrowRight");
		await page.keyboard.press("o");
		expect(await now()).toMatch(/ 5 of /);
		expect(await page.locator("#panel .differs").count()).toBe(0);
		await page.keyboard.press("End");
		expect(await page.locator("#panel .differs").count()).toBeGreaterThan(0);
		const link = await page.evaluate(() => location.hash);
		await page.close();
		await open(link);
		await expect.poll(() => page.locator(".side").count()).toBe(2);
	});

	test("what differs from the other design is marked in func_stack and sysfs", async () => {
		await open();
		const marks = (place: string) => page.getByLabel(place, { exact: true }).locator(".differs").allInnerTexts();
		expect(await marks("dmesg and sysfs")).toEqual(["≠ universe: 1"]);
		await page.keyboard.press("ArrowLeft");
		expect(await marks("func_stack, and who sees which entry")).toEqual(["≠ universe: [lp1_funcA]"]);
	});

	test("what would each design have done", async () => {
		await open();
		await tool("Each design");
		await expect.poll(() => page.locator("#tool tbody tr").count()).toBe(9);
		const rows = await page.locator("#tool tbody tr").allInnerTexts();
		expect(rows.find((row) => row.startsWith("universe"))).toContain("✓");
		expect(rows.find((row) => row.startsWith("rfc-2025\t"))).toContain("✗ mixed-universe");
		await page.locator("#tool tr", { hasText: "mainline" }).getByRole("button").click();
		await expect.poll(() => text("#answer")).toContain("mainline: yes");
	});

	test("the editor: an error at its line, completion, and a run of the changed scenario", async () => {
		await open();
		await tool("Edit");
		const editor = page.getByLabel("scenario, YAML");
		await editor.click();
		await page.keyboard.press("Control+Home");
		await page.keyboard.type("titel: x\n");
		await expect.poll(() => text("#tool .progress")).toMatch(/:1:1 .*titel/);
		await expect.poll(() => page.locator(".cm-lint-marker-error").count()).toBe(1);
		await page.keyboard.press("Control+z");
		await page.keyboard.press("Control+z");
		await expect.poll(() => text("#tool .progress")).toBe("No errors.");
		await page.keyboard.press("Control+End");
		await page.keyboard.type("preem");
		await expect.poll(() => page.locator(".cm-tooltip-autocomplete").innerText()).toContain("preemption");
		// CodeMirror takes no key for a list that has just opened (interactionDelay, 75 ms): it could be meant for the text.
		await page.waitForTimeout(500);
		await page.keyboard.press("Enter");
		await expect.poll(() => editor.innerText()).toContain("preemption");
		await page.keyboard.type("full\n");
		await expect.poll(() => text("#tool .progress")).toBe("No errors.");
		await page.locator("#tool").getByRole("button", { name: "Run it" }).click();
		await settled();
		await expect.poll(() => page.evaluate(() => location.hash)).toContain("text=");
		const link = await page.evaluate(() => location.hash);
		const shown = await now();
		await page.close();
		await open(link);
		expect(await now()).toBe(shown);
	});

	test("C that was not compiled is refused in words that help", async () => {
		await open();
		await tool("Edit");
		await page.getByLabel("scenario, YAML").click();
		await page.keyboard.press("Control+a");
		await page.keyboard.type("title: own\nvmlinux: [price.c]\nsteps: [settle]");
		await page.locator("#tool").getByRole("button", { name: "Run it" }).click();
		await expect
			.poll(() => text("#problem"))
			.toContain("the page has no object of 'scenarios/price.c', and no compiler");
		expect(await text("#problem")).toContain("drop 'price.o' on the page");
	});

	test("explores, shows how far it is, stops, and shows what it has found", async () => {
		await openText("endless.yaml", "universe", ENDLESS_RACE);
		await tool("Explore");
		const start = () => page.locator("#tool").getByRole("button", { name: "Start" }).click();
		await page.locator("#tool").getByLabel("At most").selectOption("1000000");
		await start();
		await expect.poll(() => text("#tool .progress")).toMatch(/universe: [1-9][\d,]* states/);
		await page.locator("#tool").getByRole("button", { name: "Stop" }).click();
		await expect.poll(() => text("#tool .progress")).toBe("Stopped.");
		expect(await text("#tool tbody")).toContain("stopped");
		await page.close();
		await open("#scenario=scenarios/hybrid-lp1-lp2-lp3.yaml&design=rfc-2025&beside=&schedule=run");
		await tool("Explore");
		await start();
		await page.locator("#tool").getByRole("button", { name: "show mixed-universe" }).click();
		await settled();
		await expect
			.poll(() => text(".side .verdict"))
			.toContain("neither (lp2_funcA, lp2_funcB) as before the transition");
		await expect.poll(() => page.evaluate(() => location.hash)).toContain("moves=");
	});

	test("a run that takes for ever does not keep the page from showing another", async () => {
		await open();
		await tool("Edit");
		await page.getByLabel("scenario, YAML").click();
		await page.keyboard.press("Control+a");
		await page.keyboard.insertText(
			"title: endless\nvmlinux: [asm/vmlinux/funcs.c]\ntasks: { worker: { count: 50, calls: [funcA] } }\nsteps: [{ run: 1000000 }]",
		);
		await page.locator("#tool").getByRole("button", { name: "Run it" }).click();
		await expect.poll(() => text("#title")).toContain("own-hybrid");
		await page.locator("#toolbar select").first().selectOption({ label: "Preemption on the trampoline" });
		await expect.poll(() => text(".side .verdict")).toContain("This run");
		expect(await text("#title")).toContain("Preemption on the trampoline");
	});

	test("a notebook of moments", async () => {
		await open();
		const there = await now();
		await tool("Notebook");
		await page.getByLabel("note", { exact: true }).fill("the nop goes");
		await page.getByRole("button", { name: "Keep this moment" }).click();
		await page.locator("#tool").getByRole("button", { name: "Close" }).click();
		await page.keyboard.press("Home");
		await tool("Notebook");
		await page.getByRole("link", { name: "the nop goes" }).click();
		await expect.poll(now).toBe(there);
	});

	test("an object that was compiled elsewhere, and files that the page cannot take", async () => {
		const folder = mkdtempSync(join(tmpdir(), "klpemu-page-"));
		const own = join(folder, "price.o");
		const { objects } = JSON.parse(readFileSync(join(PROJECT, "dist/web/data/manifest.json"), "utf8")) as {
			objects: Record<string, string>;
		};
		writeFileSync(own, readFileSync(join(PROJECT, "dist/web/data", objects["asm/vmlinux/funcs.c"]!)));
		writeFileSync(join(folder, "x.c"), "int f;");
		await open();
		await tool("Your livepatch");
		await page.getByLabel("files").setInputFiles(join(folder, "x.c"));
		await expect.poll(() => text("#problem")).toContain("the page has no compiler");
		await page.getByLabel("files").setInputFiles(own);
		await expect.poll(() => text("#tool")).toContain("here: price.o");
		await tool("Edit");
		await page.getByLabel("scenario, YAML").click();
		await page.keyboard.press("Control+a");
		await page.keyboard.type(
			"title: own\nvmlinux: [price.c]\ntasks: { worker: { calls: [funcA] } }\nsteps: [{ run: 10 }]",
		);
		await page.locator("#tool").getByRole("button", { name: "Run it" }).click();
		await expect.poll(() => page.locator(".row", { hasText: "returns from funcA" }).count()).toBeGreaterThan(0);
	});

	test("a livepatch in C that was compiled elsewhere says what it patches, and runs", async () => {
		const folder = mkdtempSync(join(tmpdir(), "klpemu-page-"));
		writeFileSync(
			join(folder, "fix.c"),
			`#include <linux/livepatch.h>
static int fixed(struct seq_file *m, void *v) { return 0; }
static struct klp_func funcs[] = { { .old_name = "cmdline_proc_show", .new_func = fixed }, {} };
static struct klp_object objs[] = { { .funcs = funcs }, {} };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };
static int init(void) { return klp_enable_patch(&patch); }
static void exit(void) {}
module_init(init);
module_exit(exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
`,
		);
		const { bytes } = await compile(join(folder, "fix.c"), { ibt: false });
		writeFileSync(join(folder, "fix.o"), bytes);
		await open();
		await tool("Your livepatch");
		await page.getByLabel("files").setInputFiles(join(folder, "fix.o"));
		await expect.poll(() => text("#tool")).toContain("vmlinux: cmdline_proc_show → fixed");
		expect(await text("#tool h3")).toBe("klpemu check fix.o: ✓ nothing is wrong");
		await page.getByRole("button", { name: "Run it, universe beside it" }).click();
		await expect.poll(() => text("#answer")).toContain("mainline: yes. universe: yes.");
	});

	const KO = join(PROJECT, ".cache/kernel-ko/livepatch-sample.ko");
	if (!existsSync(KO)) process.stderr.write("a .ko in the page is not tested: npm run build:kernel makes it\n");
	test.skipIf(!existsSync(KO))("a livepatch module is checked, and run under two designs", async () => {
		await open();
		await tool("Your livepatch");
		await page.getByLabel("files").setInputFiles(KO);
		await expect.poll(() => text("#tool")).toContain("cmdline_proc_show → livepatch_cmdline_proc_show");
		await page.getByRole("button", { name: "Run it, universe beside it" }).click();
		await expect.poll(() => text("#answer")).toContain("mainline: yes. universe: yes.");
		expect(await text(".dmesg")).toContain("livepatch: 'livepatch_sample'");
		expect(await text("#panel")).toContain("cmdline_proc_show");
		await tool("Explore");
		const pane = page.locator("#tool");
		await pane.getByLabel("Design").selectOption("every design");
		await pane.getByRole("button", { name: "Start" }).click();
		await expect.poll(() => text("#tool .progress")).toBe("Done.");
		const rows = await pane.locator("tbody tr").allInnerTexts();
		expect(rows.length).toBe(9);
		for (const row of rows) expect(row).toMatch(/complete: nothing breaks/);
	});

	test("scenarios and links run no script, and a damaged link is said to be one", async () => {
		const evil = "<img src=x onerror=window.hit=1><script>window.hit=1</script>";
		await open(
			`#scenario=${encodeURIComponent(evil)}&design=${encodeURIComponent(evil)}&beside=${encodeURIComponent(evil)}&at=1`,
		);
		expect(await text("#problem")).toContain("the page has no file");
		await page.evaluate((title) => {
			location.hash = `#scenario=javascript:window.hit=1&schedule=${encodeURIComponent(title)}`;
		}, evil);
		await tool("Edit").catch(() => undefined);
		for (const [hash, why] of [
			["text=AAAA", "cannot be unpacked"],
			["at=-1", "must be the number of an instant"],
		]) {
			await page.evaluate((link) => {
				location.hash = link;
			}, `#scenario=x&${hash}`);
			await expect.poll(() => text("#problem")).toContain(why);
		}
		// What a hole in the page would let in, the policy stops.
		const missing = page.waitForEvent("console", (message) => message.text().includes("404"));
		const stopped = await page.evaluate(() => {
			const script = document.createElement("script");
			script.textContent = "window.hit = 1";
			document.body.append(script);
			const image = document.createElement("div");
			image.innerHTML = "<img src=x onerror='window.hit=1'>";
			document.body.append(image);
			return (window as { hit?: number }).hit === undefined;
		});
		expect(stopped).toBe(true);
		// The server has no file x.
		await missing;
		expect(wrong.splice(0).every((message) => /Content Security Policy|404/.test(message))).toBe(true);
	});

	test.each([
		["light", 1280, 900],
		["dark", 1280, 900],
		["light", 390, 844],
		["dark", 390, 844],
	] as const)("%s, %d pixels wide: contrast, names and structure (axe)", async (colorScheme, width, height) => {
		await open("", { colorScheme, viewport: { width, height }, bypassCSP: true });
		const check = async () => {
			await page.evaluate(axe.source);
			return page.evaluate(async () => {
				const axe = (
					window as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } }
				).axe;
				const { violations } = await axe.run();
				return violations.map(
					({ id, nodes }) =>
						`${id}: ${nodes
							.slice(0, 3)
							.map(({ html }) => html.slice(0, 120))
							.join(" | ")}`,
				);
			});
		};
		expect(await check()).toEqual([]);
		for (const name of ["Each design", "Explore", "Edit", "Your livepatch", "Notebook", "Keys"]) {
			await tool(name);
			expect([name, ...(await check())]).toEqual([name]);
		}
		// Nothing but lanes, code and tables is wider than the screen.
		expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
	});

	test("50 tasks and 10,000 events stay fluid", async () => {
		const scenario = `title: many\nvmlinux: [asm/vmlinux/funcs.c]\ncpus: 4\nlivepatches:\n  lp1: { sources: [asm/livepatches/lp1.c], funcs: { funcA: lp1_funcA } }\ntasks:\n  worker: { count: 50, calls: [funcA, funcB] }\nsteps:\n  - run: 2600\n  - insmod: lp1\n  - run: 2600\n`;
		await openText("many.yaml", "mainline", scenario);
		await expect.poll(now).toMatch(/ of \d{5}:/);
		const took = await page.evaluate(async () => {
			const scroller = document.querySelector<HTMLElement>(".scroller")!;
			const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
			const times: number[] = [];
			for (let i = 0; i < 40; i++) {
				const begin = performance.now();
				scroller.scrollTop = (scroller.scrollHeight * i) / 40;
				await frame();
				await frame();
				times.push(performance.now() - begin);
			}
			return times.sort((a, b) => a - b)[20]!;
		});
		const elements = await page.evaluate(() => document.querySelectorAll("*").length);
		process.stderr.write(
			`page: 50 tasks, 10,000 events: ${Math.round(took)} ms for a jump anywhere, ${elements} elements\n`,
		);
		expect(elements).toBeLessThan(MAX_ELEMENTS);
		const before = await instant();
		await page.keyboard.press("ArrowLeft");
		await page.keyboard.press("ArrowLeft");
		await expect.poll(instant).toBe(before - 2);
	});

	test("the documents are pages beside it, with their links", async () => {
		await open();
		await page.getByRole("link", { name: "How to read it" }).click();
		await page.getByRole("link", { name: "What the explorer finds" }).click();
		await expect.poll(() => page.title()).toContain("What the explorer finds");
		expect(await page.locator("table").count()).toBeGreaterThan(0);
		await page.getByRole("link", { name: "See a transition" }).click();
		await settled();
	});

	test("works below any path of any web server", async () => {
		const other = createServer((request, response) => {
			const path = new URL(request.url!, "http://x").pathname.replace("/deep/down/", "/").replace(/\/$/, "/index.html");
			const file = join(PROJECT, "dist/web", path);
			if (!request.url!.startsWith("/deep/down/") || !existsSync(file)) return response.writeHead(404).end();
			const type = path.endsWith(".js")
				? "text/javascript"
				: path.endsWith(".css")
					? "text/css"
					: path.endsWith(".html")
						? "text/html"
						: path.endsWith(".wasm")
							? "application/wasm"
							: "application/octet-stream";
			return response.writeHead(200, { "Content-Type": type }).end(readFileSync(file));
		});
		await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
		try {
			await open("", {}, `http://127.0.0.1:${(other.address() as AddressInfo).port}/deep/down/`);
			await page.waitForSelector(".insn.site");
			expect(await text("#answer")).toBe("rfc-2025: no. universe: yes.");
		} finally {
			other.close();
		}
	});
});
