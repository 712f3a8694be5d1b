/** klpemu vm without a machine: the archive, what is refused. A scenario is booted in test/golden/real-kernel.long.ts. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cpio } from "../../../src/node/vm/cpio.js";
import { buildKit, findKernel } from "../../../src/node/vm/index.js";
import { image } from "./image.js";

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "klpemu-vm-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("an archive: headers of 110 bytes, names and contents on words, the trailer", () => {
	const archive = cpio([
		{ path: "bin", mode: 0o040755 },
		{ path: "dev/console", mode: 0o020600, device: [5, 1] },
		{ path: "bin/x", mode: 0o100755, content: Buffer.from("hello") },
	]);
	const header = (mode: number, size: number, device: readonly [number, number], name: string, inode: number) =>
		`070701${[inode, mode, 0, 0, 1, 0, size, 0, 0, ...device, name.length + 1, 0].map((n) => n.toString(16).padStart(8, "0")).join("")}${name}\0`;
	const word = (text: string) => text.padEnd((text.length + 3) & ~3, "\0");
	expect(archive.toString("latin1")).toBe(
		[
			header(0o040755, 0, [0, 0], "bin", 1),
			header(0o020600, 0, [5, 1], "dev/console", 2),
			header(0o100755, 5, [0, 0], "bin/x", 3),
			"hello",
			header(0, 0, [0, 0], "TRAILER!!!", 4),
		]
			.map(word)
			.join(""),
	);
});

test("the release is read from the image, the headers may be given", async () => {
	const path = join(folder, "bzImage");
	await writeFile(path, image("6.12.117-test"));
	await mkdir(join(folder, "build"));
	await writeFile(join(folder, "build", "Makefile"), "");
	expect(await findKernel(path, join(folder, "build"))).toEqual({
		image: path,
		version: "6.12.117-test",
		headers: join(folder, "build"),
	});
	await expect(findKernel(path, undefined)).rejects.toMatchObject({
		code: "VM_KERNEL",
		message: expect.stringContaining("no headers of Linux 6.12.117-test"),
	});
	await expect(findKernel(path, folder)).rejects.toMatchObject({
		code: "VM_KERNEL",
		message: expect.stringContaining("no built kernel tree"),
	});
});

test("what is no kernel, and what is no kit", async () => {
	await writeFile(join(folder, "text"), "no kernel");
	await expect(findKernel(join(folder, "text"), undefined)).rejects.toMatchObject({ code: "VM_KERNEL" });
	await expect(findKernel(join(folder, "absent"), undefined)).rejects.toMatchObject({ code: "VM_KERNEL" });
	const kernel = { image: "", version: "6.12", headers: folder };
	await expect(buildKit(folder, kernel)).rejects.toMatchObject({ code: "VM_NO_KIT" });
	const broken = join(folder, "broken");
	await mkdir(broken);
	await writeFile(join(broken, "run.sh"), "#!/bin/sh\n");
	await writeFile(join(broken, "Makefile"), "all:\n\t@echo this goes wrong; false\n");
	await expect(buildKit(broken, kernel)).rejects.toMatchObject({
		code: "VM_MAKE",
		message: expect.stringContaining("this goes wrong"),
	});
});

test("number of CPUs and parameters are in run.sh", async () => {
	const good = join(folder, "good");
	await mkdir(good);
	await writeFile(join(good, "run.sh"), "#!/bin/sh\n# cpus: 4\n# append: preempt=full\n");
	await writeFile(join(good, "Makefile"), "all:\n\t@test -d $(KDIR)\n");
	expect(await buildKit(good, { image: "", version: "6.12", headers: folder })).toEqual({
		name: "good",
		folder: good,
		script: "run.sh",
		cpus: 4,
		append: "preempt=full",
	});
});
