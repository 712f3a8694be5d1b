/** Writes messages in the wire format of Protocol Buffers (protobuf.dev, "Encoding"). */
export class ProtoWriter {
	#bytes = new Uint8Array(256);
	#length = 0;

	/** The message. */
	finish(): Uint8Array {
		return this.#bytes.slice(0, this.#length);
	}

	/** A field of type uint32, uint64, bool or enum. `value`: a safe integer, not negative. */
	varint(field: number, value: number): this {
		this.#tag(field, 0);
		this.#varint(value);
		return this;
	}

	/** A field of type fixed64. `value`: a safe integer, not negative. */
	fixed64(field: number, value: number): this {
		this.#tag(field, 1);
		this.#reserve(8);
		const view = new DataView(this.#bytes.buffer);
		view.setUint32(this.#length, value >>> 0, true);
		view.setUint32(this.#length + 4, Math.floor(value / 2 ** 32), true);
		this.#length += 8;
		return this;
	}

	/** A field of type string. */
	string(field: number, value: string): this {
		return this.bytes(field, new TextEncoder().encode(value));
	}

	/** A field whose type is a message. */
	message(field: number, value: ProtoWriter): this {
		return this.bytes(field, value.#bytes.subarray(0, value.#length));
	}

	bytes(field: number, value: Uint8Array): this {
		this.#tag(field, 2);
		this.#varint(value.length);
		this.#reserve(value.length);
		this.#bytes.set(value, this.#length);
		this.#length += value.length;
		return this;
	}

	#tag(field: number, wireType: number): void {
		this.#varint(field * 8 + wireType);
	}

	#varint(value: number): void {
		this.#reserve(10);
		let rest = value;
		while (rest > 0x7f) {
			this.#bytes[this.#length++] = (rest % 0x80) + 0x80;
			rest = Math.floor(rest / 0x80);
		}
		this.#bytes[this.#length++] = rest;
	}

	#reserve(more: number): void {
		if (this.#length + more <= this.#bytes.length) return;
		const bytes = new Uint8Array(2 * (this.#length + more));
		bytes.set(this.#bytes.subarray(0, this.#length));
		this.#bytes = bytes;
	}
}
