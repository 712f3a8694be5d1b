import { createServer, type Server, type Socket } from "node:net";
import { KlpemuError } from "../../base/index.js";
import { PacketParser, packetOf } from "./packets.js";
import type { Player } from "./player.js";
import { GdbSession } from "./session.js";

/** Loopback only: whoever can connect can read the guest, and the names of this machine's files in its debug information. */
const HOST = "127.0.0.1";

export interface GdbServer {
	readonly port: number;
	/** Resolves when a client has left, of its own accord: with `D`, `k`, or by closing. */
	clientLeft(): Promise<void>;
	close(): Promise<void>;
}

/** Clients that wait for their turn; more are turned away. */
const MAX_WAITING = 16;
/** So many requests are answered until the other events of the process have their turn, such as the end of the connection. */
const BATCH = 32;

/** Serves one client after the other: the next one waits until the present one has left. Throws `GDB_PORT`. */
export async function serveGdb(player: Player, port: number): Promise<GdbServer> {
	await player.at(0);
	const clients = new Set<Socket>();
	let turn: Promise<void> = Promise.resolve();
	let tellLeft: () => void = () => {};
	const server = createServer((socket) => {
		// A client that is gone in the middle of a reply.
		socket.on("error", () => socket.destroy());
		if (clients.size > MAX_WAITING) {
			socket.destroy();
			return;
		}
		clients.add(socket);
		socket.setNoDelay(true);
		turn = turn
			.then(() => (socket.destroyed ? undefined : serveClient(player, socket)))
			.catch((error) => void server.emit("error", error))
			.then(() => {
				socket.destroy();
				clients.delete(socket);
				tellLeft();
			});
	});
	const bound = await listen(server, port);
	return {
		port: bound,
		clientLeft: () =>
			new Promise((resolve, reject) => {
				tellLeft = resolve;
				server.once("error", reject);
			}),
		close: () =>
			new Promise((resolve) => {
				for (const socket of clients) socket.destroy();
				server.close(() => resolve());
			}),
	};
}

function listen(server: Server, port: number): Promise<number> {
	return new Promise((resolve, reject) => {
		server.once("error", (cause: NodeJS.ErrnoException) => {
			reject(
				new KlpemuError("GDB_PORT", `port ${port} of ${HOST} cannot be opened: ${cause.code ?? cause.message}`, {
					where: "klpemu gdb",
					hint: "--port 0 takes a free one",
					cause,
				}),
			);
		});
		server.listen(port, HOST, () => {
			server.removeAllListeners("error");
			const address = server.address();
			resolve(typeof address === "object" && address !== null ? address.port : port);
		});
	});
}

/** Reads packets and answers them in their order, until the client leaves. */
async function serveClient(player: Player, socket: Socket): Promise<void> {
	const parser = new PacketParser();
	const session = await GdbSession.start(player);
	let last: Uint8Array = new Uint8Array(0);
	const send = (data: string) => {
		last = packetOf(data);
		socket.write(last);
	};
	let answered = 0;
	for await (const chunk of chunksOf(socket)) {
		for (const received of parser.feed(chunk)) {
			if (socket.destroyed) return;
			if (received.kind === "nack") socket.write(last);
			// A client that interrupts waits for a stop reply; each move has ended with one already.
			if (received.kind === "damaged" && !session.noAck) socket.write("-");
			if (received.kind !== "packet") continue;
			if (!session.noAck) socket.write("+");
			const { reply, ends } = await session.answer(received.data);
			if (reply !== undefined) send(reply);
			if (ends) {
				await new Promise<void>((done) => socket.end(() => done()));
				return;
			}
			if (++answered % BATCH === 0) await new Promise<void>((done) => setImmediate(done));
			// A client that does not read its replies must not fill memory.
			if (socket.writableNeedDrain) await drained(socket);
		}
	}
}

/** What a client sends; it ends when the client leaves, in whatever way. */
async function* chunksOf(socket: Socket): AsyncGenerator<Uint8Array, void, void> {
	try {
		for await (const chunk of socket) yield chunk as Uint8Array;
	} catch {
		socket.destroy();
	}
}

function drained(socket: Socket): Promise<void> {
	return new Promise((resolve) => {
		socket.once("drain", resolve);
		socket.once("close", () => resolve());
	});
}
