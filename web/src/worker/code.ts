/** Machine code at an instant, as text. */
import { Disassembler } from "../../../src/disasm/index.js";
import { MCOUNT_INSN_SIZE } from "../../../src/linux/ftrace/index.js";
import { toU64 } from "../../../src/memory/index.js";
import type { CodeLine } from "../shared/protocol.js";
import { type CodeBlock, type RecordedFunction, Timeline } from "../shared/recording.js";
import { hexOf } from "./camera.js";
import { loadCapstone } from "./capstone.js";
import type { Recorded } from "./record.js";

export class CodeReader {
	readonly #timeline: Timeline;
	readonly #code: readonly CodeBlock[];

	constructor({ recording, code }: Recorded) {
		this.#timeline = new Timeline(recording);
		this.#code = code;
	}

	#blockAt(address: number): CodeBlock | undefined {
		// A later block lies where an earlier one was, if the address was used twice.
		return this.#code.findLast((block) => address >= block.address && address < block.address + block.bytes.length);
	}

	/** The code of the function or trampoline that holds an address; empty: it is not known. */
	async lines(instant: number, address: number): Promise<CodeLine[]> {
		const block = this.#blockAt(address);
		if (block === undefined) return [];
		const bytes = this.#bytesAt(block, instant);
		const before = this.#bytesAt(block, Math.max(0, instant - 1));
		const sites = this.#sites(instant);
		const disassembler = await Disassembler.create(loadCapstone);
		return disassembler.disassemble(bytes, toU64(block.address)).map((one, index) => {
			const at = Number(BigInt.asIntN(32, one.address));
			const offset = at - block.address;
			const changed = one.bytes.some((byte, i) => before[offset + i] !== byte);
			const text = this.#named(one.text);
			const site = sites.has(at);
			return {
				...{ address: at, bytes: hexOf(one.bytes), text: text.text, target: text.target, site, changed },
				label: index === 0 ? block.name : undefined,
			};
		});
	}

	/** The bytes of a block, with the changes up to an instant. */
	#bytesAt(block: CodeBlock, instant: number): Uint8Array {
		const bytes = block.bytes.slice();
		for (const key of this.#timeline.recording.tracks.keys()) {
			if (!key.startsWith("text/")) continue;
			const at = Number(key.slice("text/".length)) - block.address;
			if (at < 0 || at >= bytes.length) continue;
			const value = this.#timeline.at(key, instant) as string | undefined;
			for (let i = 0; value !== undefined && 2 * i < value.length && at + i < bytes.length; i++) {
				bytes[at + i] = Number.parseInt(value.slice(2 * i, 2 * i + 2), 16);
			}
		}
		return bytes;
	}

	#sites(instant: number): Set<number> {
		const { tracks } = this.#timeline.recording;
		const keys = [...tracks.keys()].filter((key) => key.startsWith("func/"));
		const sites = keys.map((key) => (this.#timeline.at(key, instant) as RecordedFunction | undefined)?.site ?? 0);
		for (const [key, { values }] of tracks) {
			const isSite = key.startsWith("text/") && (values[0] as string).length === 2 * MCOUNT_INSN_SIZE;
			if (isSite) sites.push(Number(key.slice("text/".length)));
		}
		return new Set(sites.filter((site) => site !== 0));
	}

	/** Names in place of the addresses of known code. */
	#named(text: string): { readonly text: string; readonly target: number | undefined } {
		let target: number | undefined;
		const named = text.replace(/\b0xf{8}[0-9a-f]{8}\b/g, (hex) => {
			const address = Number(BigInt.asIntN(32, BigInt(hex)));
			const block = this.#blockAt(address);
			if (block === undefined) return hex;
			target = address;
			const offset = address - block.address;
			return `${hex} <${block.name}${offset === 0 ? "" : `+0x${offset.toString(16)}`}>`;
		});
		return { text: named, target };
	}
}
