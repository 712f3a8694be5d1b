/** The framing of gdb's remote serial protocol (GDB manual, appendix E). Bytes are the characters of latin1 strings. */

/** What a client has sent. */
export type Received =
	| { readonly kind: "packet"; readonly data: string }
	/** Ctrl-C: a byte 3 outside of packets. */
	| { readonly kind: "interrupt" }
	/** The client asks for the last reply again. */
	| { readonly kind: "nack" }
	/** Not a packet: the checksum is wrong, or it is too long. */
	| { readonly kind: "damaged" };

/** The longest packet that is taken, in bytes; clients are told of it. */
export const PACKET_SIZE = 0x4000;

const INTERRUPT = 0x03;
const [HASH, DOLLAR, ESCAPE, MINUS] = ["#", "$", "}", "-"].map((character) => character.charCodeAt(0)) as [
	number,
	number,
	number,
	number,
];

/** Finds the packets in a stream of bytes, in pieces of any size. What is no packet is left out. */
export class PacketParser {
	/** Of the present packet, without its `$`; undefined: between packets. */
	#data: number[] | undefined = undefined;
	#sum = 0;
	#tooLong = false;
	/** The characters of the checksum; undefined: before the `#`. */
	#check: string | undefined = undefined;

	feed(bytes: Uint8Array): Received[] {
		const received: Received[] = [];
		for (const byte of bytes) {
			const found = this.#byte(byte);
			if (found !== undefined) received.push(found);
		}
		return received;
	}

	#byte(byte: number): Received | undefined {
		if (this.#check !== undefined) return this.#checksum(byte);
		if (byte === DOLLAR) {
			// Also in the middle of a packet, whose end was lost: `$` is always escaped in data.
			this.#data = [];
			this.#sum = 0;
			this.#tooLong = false;
			return undefined;
		}
		if (this.#data === undefined) {
			if (byte === INTERRUPT) return { kind: "interrupt" };
			return byte === MINUS ? { kind: "nack" } : undefined;
		}
		if (byte === HASH) {
			this.#check = "";
			return undefined;
		}
		this.#sum = (this.#sum + byte) & 0xff;
		if (this.#data.length < PACKET_SIZE) this.#data.push(byte);
		else this.#tooLong = true;
		return undefined;
	}

	#checksum(byte: number): Received | undefined {
		this.#check += String.fromCharCode(byte);
		if (this.#check!.length < 2) return undefined;
		const right = /^[0-9a-f]{2}$/i.test(this.#check!) && Number.parseInt(this.#check!, 16) === this.#sum;
		const data = this.#data!;
		this.#data = undefined;
		this.#check = undefined;
		return right && !this.#tooLong ? { kind: "packet", data: unescaped(data) } : { kind: "damaged" };
	}
}

function unescaped(data: readonly number[]): string {
	let text = "";
	for (let i = 0; i < data.length; i++) {
		const escaped = data[i] === ESCAPE && i + 1 < data.length;
		text += String.fromCharCode(escaped ? data[++i]! ^ 0x20 : data[i]!);
	}
	return text;
}

/** A packet with the given data. */
export function packetOf(data: string): Uint8Array {
	const escaped = data.replace(/[#$}*]/g, (character) => `}${String.fromCharCode(character.charCodeAt(0) ^ 0x20)}`);
	let sum = 0;
	for (let i = 0; i < escaped.length; i++) sum = (sum + escaped.charCodeAt(i)) & 0xff;
	return latin1(`$${escaped}#${sum.toString(16).padStart(2, "0")}`);
}

/** Bytes of a string whose characters are bytes. */
export function latin1(text: string): Uint8Array {
	return Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff);
}

/** `0aff` for the bytes 10 and 255. */
export function hexOf(bytes: Uint8Array): string {
	return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes of hex digits; undefined: they are no hex digits. */
export function bytesOf(hex: string): Uint8Array | undefined {
	if (hex.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(hex)) return undefined;
	return Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

/** A text as hex digits of its UTF-8. */
export function hexText(text: string): string {
	return hexOf(new TextEncoder().encode(text));
}

/** `offset,length` of a long text, as qXfer replies with it. The characters are bytes. */
export function part(text: string, range: string): string {
	const [, offset, length] = /^([0-9a-f]{1,12}),([0-9a-f]{1,12})$/i.exec(range) ?? [];
	if (offset === undefined || length === undefined) return "E16";
	const from = Number.parseInt(offset, 16);
	const to = from + Math.min(Number.parseInt(length, 16), PACKET_SIZE / 2 - 16);
	return `${to < text.length ? "m" : "l"}${text.slice(from, to)}`;
}
