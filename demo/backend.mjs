// A backend, in its network namespace: `backend.mjs NAME FAMILY`. HTTP on 80 and 8080, UDP on 2055;
// each answers with the backend's name and the client's address as it is seen here.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:http";

const [, , name, family] = process.argv;
const [everywhere, udp] = family === "ipv6" ? ["::", "udp6"] : ["0.0.0.0", "udp4"];
const answer = (address) => JSON.stringify({ backend: name, address });

process.stdin.resume().on("close", () => process.exit());

for (const port of [80, 8080]) {
  const server = createServer((request, response) => {
    response.setHeader("connection", "close");
    response.end(answer(request.socket.remoteAddress));
  });
  server.listen(port, everywhere);
  await once(server, "listening");
}

const socket = createSocket(udp);
socket.on("message", (_, client) =>
  socket.send(answer(client.address), client.port, client.address),
);
socket.bind(2055, everywhere);
await once(socket, "listening");
console.log("ready");
