export { Player } from "./player.js";
export { type GdbServer, serveGdb } from "./server.js";
