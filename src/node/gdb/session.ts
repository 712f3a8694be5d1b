import type { Kaddr } from "../../memory/index.js";
import { Breakpoints } from "./breakpoints.js";
import type { Capture } from "./capture.js";
import { type Move, Navigation } from "./navigation.js";
import { bytesOf, hexOf, hexText, PACKET_SIZE, part } from "./packets.js";
import type { Player } from "./player.js";
import { REGISTERS, registerHex, TARGET_XML } from "./registers.js";
import { type ThreadState, threadXml } from "./threads.js";

/** The name of the file that has the symbols; it exists in this protocol only. */
const PROGRAM = "/klpemu/kernel";
const FILE_DESCRIPTOR = 3;
/** errnos of the remote protocol (GDB manual, F.9.2). */
const [EPERM, ENOENT, EBADF, EFAULT, EINVAL, ENOSYS] = [1, 2, 9, 14, 22, 88] as const;
const error = (errno: number): string => `E${errno.toString(16).padStart(2, "0")}`;

/** What a client hears: replies; and text for the user, before the reply. */
export interface Answer {
	/** Undefined: nothing. */
	readonly reply: string | undefined;
	/** The client leaves. */
	readonly ends?: true;
}

type Handler = (groups: readonly string[]) => string | undefined | Promise<string | undefined>;

/**
 * The requests of one client of gdb's remote protocol. It changes nothing: the guest's memory and registers cannot be written, because
 * a run that was changed could not be run again.
 */
export class GdbSession {
	readonly #player: Player;
	readonly #breakpoints = new Breakpoints();
	readonly #navigation: Navigation;
	readonly #handlers: readonly (readonly [RegExp, Handler])[];
	#now: Capture;
	/** Of `Hg`: whose registers are read. */
	#selected: number;
	/** Of `Hc`; undefined: the thread that executes. */
	#stepped: number | undefined = undefined;
	/** The client does not want acknowledgements. */
	noAck = false;

	private constructor(player: Player, start: Capture) {
		this.#player = player;
		this.#now = start;
		this.#selected = start.thread;
		this.#navigation = new Navigation(player, this.#breakpoints);
		this.#handlers = this.#table();
	}

	/** A client that sees the machine before the first step of the scenario. */
	static async start(player: Player): Promise<GdbSession> {
		return new GdbSession(player, await player.at(0));
	}

	/** Handles the data of a packet. An unknown one has the empty reply. */
	async answer(packet: string): Promise<Answer> {
		if (packet === "k") return { reply: undefined, ends: true };
		if (/^(D|vKill)/.test(packet)) return { reply: "OK", ends: true };
		for (const [pattern, handle] of this.#handlers) {
			const match = pattern.exec(packet);
			if (match !== null) return { reply: await handle(match.slice(1)) };
		}
		return { reply: "" };
	}

	#table(): [RegExp, Handler][] {
		const position = "([0-9a-f]{1,16}),([0-9a-f]{1,8})";
		return [
			[/^\?$/, () => this.#stopReply()],
			[/^qSupported/, () => this.#features()],
			[/^QStartNoAckMode$/, () => this.#startNoAck()],
			[/^qAttached/, () => "1"],
			[/^qSymbol::$/, () => "OK"],
			[/^qC$/, () => `QC${this.#now.thread.toString(16)}`],
			[/^H([gc])(-?[0-9a-f]+)$/, ([what, id]) => this.#select(what!, id!)],
			[/^T([0-9a-f]+)$/, ([id]) => (this.#thread(Number.parseInt(id!, 16)) ? "OK" : error(ENOENT))],
			[/^qfThreadInfo$/, () => `m${this.#now.threads.map(({ id }) => id.toString(16)).join()}`],
			[/^qsThreadInfo$/, () => "l"],
			[/^qThreadExtraInfo,([0-9a-f]+)$/, ([id]) => this.#extra(Number.parseInt(id!, 16))],
			[/^qXfer:threads:read::(.*)$/, ([range]) => part(threadXml(this.#now.threads), range!)],
			[/^qXfer:features:read:target\.xml:(.*)$/, ([range]) => part(TARGET_XML, range!)],
			[/^qXfer:exec-file:read:[^:]*:(.*)$/, ([range]) => part(PROGRAM, range!)],
			[/^vFile:(\w+):(.*)$/, ([operation, more]) => this.#file(operation!, more!)],
			[/^g$/, () => this.#registers()],
			[/^p([0-9a-f]+)$/, ([number]) => this.#register(Number.parseInt(number!, 16))],
			[/^[GP]/, () => error(EPERM)],
			[new RegExp(`^m${position}$`), ([address, length]) => this.#memory(address!, length!)],
			[/^[MX]/, () => error(EPERM)],
			[new RegExp(`^([Zz])([0-4]),${position}(?:;.*)?$`), (groups) => this.#point(groups)],
			[/^vCont\?$/, () => "vCont;c;C;s;S;r"],
			[/^vCont;(.*)$/, ([actions]) => this.#resume(actions!)],
			[/^[cC]/, () => this.#go({ kind: "continue" })],
			[/^[sS]/, () => this.#go({ kind: "step", thread: this.#stepped ?? this.#now.thread })],
			[/^bs$/, () => this.#go({ kind: "back", thread: this.#stepped ?? this.#now.thread })],
			[/^bc$/, () => this.#go({ kind: "back", thread: undefined })],
			[/^qRcmd,(.*)$/, ([hex]) => this.#command(hex!)],
		];
	}

	#features(): string {
		const xfer = ["features", "exec-file", "threads"].map((name) => `qXfer:${name}:read+`);
		const more = ["QStartNoAckMode+", "vContSupported+", "ReverseStep+", "ReverseContinue+"];
		return [`PacketSize=${PACKET_SIZE.toString(16)}`, ...xfer, ...more].join(";");
	}

	#startNoAck(): string {
		this.noAck = true;
		return "OK";
	}

	// ---- threads ----

	#thread(id: number): ThreadState | undefined {
		return this.#now.threads.find((thread) => thread.id === id);
	}

	#select(what: string, text: string): string {
		const id = text.startsWith("-") ? -1 : Number.parseInt(text, 16);
		if (id > 0 && this.#thread(id) === undefined) return error(ENOENT);
		if (what === "g") this.#selected = id > 0 ? id : this.#now.thread;
		else this.#stepped = id > 0 ? id : undefined;
		return "OK";
	}

	#extra(id: number): string {
		const thread = this.#thread(id);
		return thread === undefined ? error(ENOENT) : hexText(`${thread.name}: ${thread.extra}`);
	}

	#stopReply(): string {
		const { thread, reason } = this.#now;
		return `T05thread:${thread.toString(16)};${reason === undefined ? "" : `${reason.key}:${reason.value};`}`;
	}

	// ---- registers and memory ----

	get #shown(): ThreadState {
		return this.#thread(this.#selected) ?? this.#thread(this.#now.thread) ?? this.#now.threads[0]!;
	}

	#registers(): string {
		return REGISTERS.map((register) => registerHex(register, this.#shown)).join("");
	}

	#register(number: number): string {
		const register = REGISTERS[number];
		return register === undefined ? error(EINVAL) : registerHex(register, this.#shown);
	}

	#memory(address: string, length: string): string {
		const wanted = Math.min(Number.parseInt(length, 16), (PACKET_SIZE - 16) / 2);
		const bytes = this.#now.read(BigInt(`0x${address}`), wanted);
		return bytes.length === 0 && wanted > 0 ? error(EFAULT) : hexOf(bytes);
	}

	#point([insert, type, address, length]: readonly string[]): string {
		const at = kernelAddress(address!);
		if (at === undefined) return error(EFAULT);
		const size = Number.parseInt(length!, 16);
		if (insert === "Z") return this.#breakpoints.insert(type!, at, size) ? "OK" : error(EINVAL);
		this.#breakpoints.remove(type!, at, size);
		return "OK";
	}

	// ---- going on ----

	/** The first action that is a step decides: the other threads run with it anyhow. */
	#resume(text: string): Promise<string> | string {
		const actions = text.split(";").map((action) => /^([csCSr])([^:]*)(?::(-?[0-9a-f]+))?$/.exec(action));
		if (actions.some((action) => action === null)) return error(EINVAL);
		const step = actions.find((action) => /[sSr]/.test(action![1]!));
		if (step === undefined || step === null) return this.#go({ kind: "continue" });
		const [, kind, more, id] = step;
		const named = id === undefined || id.startsWith("-") ? 0 : Number.parseInt(id, 16);
		const thread = named > 0 ? named : this.#now.thread;
		if (kind !== "r") return this.#go({ kind: "step", thread });
		const [, start, end] = /^([0-9a-f]{1,16}),([0-9a-f]{1,16})$/.exec(more!) ?? [];
		const range = [start, end].map((address) => (address === undefined ? undefined : kernelAddress(address)));
		if (range[0] === undefined || range[1] === undefined) return error(EINVAL);
		return this.#go({ kind: "range", thread, start: range[0], end: range[1] });
	}

	async #go(move: Move): Promise<string> {
		this.#now = await this.#navigation.go(this.#now.position, move);
		this.#selected = this.#now.thread;
		this.#stepped = undefined;
		return this.#stopReply();
	}

	// ---- the program file ----

	#file(operation: string, more: string): string {
		const failed = (errno: number) => `F-1,${errno.toString(16)}`;
		const { file } = this.#player;
		if (operation === "setfs") return "F0";
		if (operation === "open") {
			const name = bytesOf(more.split(",")[0]!);
			const isProgram = name !== undefined && new TextDecoder().decode(name) === PROGRAM;
			return isProgram ? `F${FILE_DESCRIPTOR.toString(16)}` : failed(ENOENT);
		}
		const [descriptor, count, offset] = more
			.split(",")
			.map((word) => (/^[0-9a-f]{1,12}$/i.test(word) ? Number.parseInt(word, 16) : -1));
		if (descriptor !== FILE_DESCRIPTOR) return failed(EBADF);
		if (operation === "close") return "F0";
		if (operation === "fstat") return `F40;${latin1Text(fileStatus(file.length))}`;
		if (operation !== "pread" || count === undefined || offset === undefined || count < 0 || offset < 0)
			return failed(operation === "pread" ? EINVAL : ENOSYS);
		// Half of the packet: each byte may need an escape.
		const bytes = file.subarray(offset, offset + Math.min(count, PACKET_SIZE / 2 - 16));
		return `F${bytes.length.toString(16)};${latin1Text(bytes)}`;
	}

	// ---- monitor ----

	#command(hex: string): string {
		const bytes = bytesOf(hex);
		if (bytes === undefined) return error(EINVAL);
		const name = new TextDecoder().decode(bytes).trim();
		return hexText(this.#monitor(name));
	}

	#monitor(name: string): string {
		const { position, klp, stacks, dmesg } = this.#now;
		const { steps, length } = this.#player.history;
		switch (name) {
			case "klp":
				return klp;
			case "bt":
				return stacks;
			case "dmesg":
				return dmesg === "" ? "(nothing is printed yet)\n" : dmesg;
			case "position": {
				// The first step begins at the first event.
				const at = steps.findLastIndex((step) => step.position <= position);
				return `event ${position} of ${length}, in step ${at + 1}: ${steps[at]!.action}\n`;
			}
			case "step-scenario": {
				this.#navigation.stopsAtStep = true;
				const next = steps.find((step) => step.position > position);
				return next === undefined
					? "the last step of the scenario: continue goes to its end\n"
					: `continue stops before: ${next.action}\n`;
			}
			default:
				return HELP;
		}
	}
}

const HELP = `monitor klp            the transition, func_stacks, and the patch_state of each task
monitor dmesg          what the kernel has printed
monitor bt             the stack of each task, as the kernel's unwinder sees it
monitor position       where the run is
monitor step-scenario  the next continue stops before the next step of the scenario
`;

/** Undefined: it is no address of the kernel's window, the only memory that there is. */
function kernelAddress(hex: string): Kaddr | undefined {
	const value = BigInt(`0x${hex}`);
	return value >> 31n === 0x1_ffff_ffffn ? Number(BigInt.asIntN(32, value)) : undefined;
}

function latin1Text(bytes: Uint8Array): string {
	let text = "";
	for (const byte of bytes) text += String.fromCharCode(byte);
	return text;
}

/** struct stat of the file protocol (GDB manual, F.9.4), big-endian: a regular file that can be read. */
function fileStatus(size: number): Uint8Array {
	const bytes = new Uint8Array(0x40);
	const view = new DataView(bytes.buffer);
	view.setUint32(8, 0o100444);
	view.setUint32(12, 1);
	view.setBigUint64(28, BigInt(size));
	view.setBigUint64(36, 4096n);
	return bytes;
}
