import { ProtoWriter } from "./protobuf.js";
import type { Lane, Timeline, TimelineEvent } from "./timeline.js";

/**
 * Numbers of the fields that are written (perfetto.dev, "Trace packet proto reference": Trace, TracePacket, TrackDescriptor,
 * TrackEvent, InternedData, DebugAnnotation).
 */
const TRACE = { packet: 1 } as const;
const PACKET = {
	timestamp: 8,
	trusted_packet_sequence_id: 10,
	track_event: 11,
	interned_data: 12,
	sequence_flags: 13,
	track_descriptor: 60,
	first_packet_on_sequence: 87,
} as const;
const DESCRIPTOR = {
	uuid: 1,
	name: 2,
	process: 3,
	thread: 4,
	parent_uuid: 5,
	child_ordering: 11,
	sibling_order_rank: 12,
} as const;
const PROCESS = { pid: 1, process_name: 6 } as const;
const THREAD = { pid: 1, tid: 2, thread_name: 5 } as const;
const EVENT = {
	category_iids: 3,
	debug_annotations: 4,
	type: 9,
	name_iid: 10,
	track_uuid: 11,
	flow_ids: 47,
	terminating_flow_ids: 48,
} as const;
const INTERNED = { event_categories: 1, event_names: 2, debug_annotation_names: 3 } as const;
const INTERNED_STRING = { iid: 1, name: 2 } as const;
const ANNOTATION = { name_iid: 1, uint_value: 3, string_value: 6 } as const;

const TYPE = { begin: 1, end: 2, instant: 3 } as const;
/** TrackDescriptor.ChildTracksOrdering.EXPLICIT: by sibling_order_rank. */
const EXPLICIT = 3;
/** TracePacket.SequenceFlags. */
const SEQ_INCREMENTAL_STATE_CLEARED = 1;
const SEQ_NEEDS_INCREMENTAL_STATE = 2;
/** All packets are of one writer. */
const SEQUENCE = 1;
/** The process whose threads are the tasks: one above the largest pid of Linux (PID_MAX_LIMIT), so that no task has it. */
const PROCESS_PID = 4_194_305;
const ROOT_UUID = 1;
const CPUS_UUID = 2;

const uuidOf = (lane: number): number => 16 + lane;

/**
 * A timeline as a trace of Perfetto (TrackEvent), which ui.perfetto.dev and trace_processor read. A tick is a nanosecond. Tasks are
 * threads of one process, the other lanes tracks with names.
 */
export function renderPerfetto(timeline: Timeline): Uint8Array {
	return new PerfettoTrace(timeline).finish();
}

type Table = keyof typeof INTERNED;

class PerfettoTrace {
	readonly #trace = new ProtoWriter();
	readonly #tables: Readonly<Record<Table, Map<string, number>>> = {
		event_categories: new Map(),
		event_names: new Map(),
		debug_annotation_names: new Map(),
	};
	/** The strings that the present packet uses first. */
	#interned: ProtoWriter | undefined = undefined;
	#first = true;

	constructor({ title, lanes, events }: Timeline) {
		this.#describe(
			descriptor(ROOT_UUID, 0, {})
				.message(
					DESCRIPTOR.process,
					new ProtoWriter().varint(PROCESS.pid, PROCESS_PID).string(PROCESS.process_name, title),
				)
				.varint(DESCRIPTOR.child_ordering, EXPLICIT),
		);
		this.#describe(descriptor(CPUS_UUID, 1, { name: "CPUs", parent: ROOT_UUID }));
		for (const lane of lanes) this.#describe(descriptorOf(lane));
		for (const event of events) this.#event(event);
	}

	finish(): Uint8Array {
		return this.#trace.finish();
	}

	#packet(fill: (packet: ProtoWriter) => void): void {
		const packet = new ProtoWriter().varint(PACKET.trusted_packet_sequence_id, SEQUENCE);
		const cleared = this.#first ? SEQ_INCREMENTAL_STATE_CLEARED : 0;
		packet.varint(PACKET.sequence_flags, SEQ_NEEDS_INCREMENTAL_STATE | cleared);
		if (this.#first) packet.varint(PACKET.first_packet_on_sequence, 1);
		this.#first = false;
		fill(packet);
		this.#trace.message(TRACE.packet, packet);
	}

	#describe(track: ProtoWriter): void {
		this.#packet((packet) => packet.message(PACKET.track_descriptor, track));
	}

	#event({ at, lane, kind, name, category, details = {}, from = [], to = [] }: TimelineEvent): void {
		const event = new ProtoWriter().varint(EVENT.type, TYPE[kind]).varint(EVENT.track_uuid, uuidOf(lane));
		if (kind !== "end") {
			event.varint(EVENT.category_iids, this.#intern("event_categories", category));
			event.varint(EVENT.name_iid, this.#intern("event_names", name));
		}
		for (const [key, value] of Object.entries(details))
			event.message(EVENT.debug_annotations, this.#annotation(key, value));
		for (const flow of from) event.fixed64(EVENT.flow_ids, flow);
		for (const flow of to) event.fixed64(EVENT.terminating_flow_ids, flow);
		const interned = this.#interned;
		this.#interned = undefined;
		this.#packet((packet) => {
			packet.varint(PACKET.timestamp, at);
			if (interned !== undefined) packet.message(PACKET.interned_data, interned);
			packet.message(PACKET.track_event, event);
		});
	}

	#annotation(key: string, value: string | number): ProtoWriter {
		const annotation = new ProtoWriter().varint(ANNOTATION.name_iid, this.#intern("debug_annotation_names", key));
		if (typeof value === "string") return annotation.string(ANNOTATION.string_value, value);
		if (value >= 0) return annotation.varint(ANNOTATION.uint_value, value);
		// A negative int64 has ten bytes; as text it says the same.
		return annotation.string(ANNOTATION.string_value, String(value));
	}

	/** The number of a string, from 1; the packet that uses it first also says which string that is. */
	#intern(table: Table, text: string): number {
		const known = this.#tables[table].get(text);
		if (known !== undefined) return known;
		const iid = this.#tables[table].size + 1;
		this.#tables[table].set(text, iid);
		this.#interned ??= new ProtoWriter();
		this.#interned.message(
			INTERNED[table],
			new ProtoWriter().varint(INTERNED_STRING.iid, iid).string(INTERNED_STRING.name, text),
		);
		return iid;
	}
}

function descriptor(
	uuid: number,
	rank: number,
	more: { readonly name?: string; readonly parent?: number },
): ProtoWriter {
	const track = new ProtoWriter().varint(DESCRIPTOR.uuid, uuid);
	if (more.name !== undefined) track.string(DESCRIPTOR.name, more.name);
	if (more.parent !== undefined) track.varint(DESCRIPTOR.parent_uuid, more.parent);
	return track.varint(DESCRIPTOR.sibling_order_rank, rank);
}

/** The order of the tracks: steps, transition, CPUs, tasks. */
const RANKS: Readonly<Record<Lane["kind"], number>> = { steps: 0, transition: 0, cpu: 1, task: 2, patch_state: 0 };

function descriptorOf({ id, kind, name, number, parent }: Lane): ProtoWriter {
	const under = parent !== undefined ? uuidOf(parent) : kind === "cpu" ? CPUS_UUID : ROOT_UUID;
	const rank = 1000 * RANKS[kind] + id;
	// A thread gets its name from its descriptor. Thread 0 would be every idle task: these are tracks.
	if (kind !== "task" || number === 0) return descriptor(uuidOf(id), rank, { name, parent: under });
	const thread = new ProtoWriter()
		.varint(THREAD.pid, PROCESS_PID)
		.varint(THREAD.tid, number)
		.string(THREAD.thread_name, name);
	return descriptor(uuidOf(id), rank, { parent: under }).message(DESCRIPTOR.thread, thread);
}
