// A program for the hosts of a Lab: `endpoint.mjs ROLE OPTIONS-AS-JSON`. Tells what it sees as
// lines of JSON on stdout. Bounded by itself: every role ends after `seconds` (20 by default).
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";

const [role, text] = process.argv.slice(2);
const options = JSON.parse(text ?? "{}");
const { address, port, from, seconds = 20 } = options;

function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** A payload of `length` bytes that starts with `text`. */
function payload(text, length = 0) {
  return Buffer.from(text.padEnd(length, "."));
}

const roles = {
  /** Answers every datagram with itself. */
  udpEcho() {
    const socket = createSocket(address?.includes(":") ? "udp6" : "udp4");
    socket.on("message", (data, { address: sender, port: senderPort }) => {
      tell({
        event: "datagram",
        text: data.toString().replace(/\.+$/, ""),
        length: data.length,
        sender,
        senderPort,
      });
      socket.send(data, senderPort, sender);
    });
    socket.bind(port, address, () => tell({ event: "ready" }));
  },

  /** Sends `count` datagrams, the next one after the echo of the last; ends after the last. */
  udpSend() {
    const { count = 1, length = 0, echo = true } = options;
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    let sent = 0;
    const send = () => {
      if (sent === count) {
        tell({ event: "done", sent });
        socket.close(() => process.exit(0));
        return;
      }
      socket.send(payload(`datagram ${sent}`, length), port, address, (error) => {
        if (error) tell({ event: "error", code: error.code });
        else if (!echo) send();
      });
      sent++;
    };
    socket.on("message", (data) => {
      tell({ event: "echo", text: data.toString().replace(/\.+$/, ""), length: data.length });
      send();
    });
    socket.bind(from ?? 0, send);
  },

  /** Answers every connection with what it sends. */
  tcpEcho() {
    createServer((socket) => {
      tell({ event: "connection", sender: socket.remoteAddress, senderPort: socket.remotePort });
      socket.on("error", (error) => tell({ event: "error", code: error.code }));
      socket.pipe(socket);
    }).listen(port, address, () => tell({ event: "ready" }));
  },

  /** Connects, sends one message after the other's echo, closes. */
  tcpSend() {
    const { count = 1, length = 0 } = options;
    const socket = connect({ host: address, port, ...(from ? { localPort: from } : {}) });
    let sent = 0;
    let received = 0;
    const send = () => {
      if (sent === count) {
        socket.end();
        return;
      }
      sent++;
      received = 0;
      socket.write(payload(`message ${sent}`, length));
    };
    const size = () => payload(`message ${sent}`, length).length;
    socket.on("connect", () => {
      tell({ event: "connected" });
      send();
    });
    socket.on("data", (data) => {
      received += data.length;
      if (received < size()) return;
      tell({ event: "echo", length: received });
      send();
    });
    socket.on("error", (error) => {
      tell({ event: "error", code: error.code });
      process.exit(0);
    });
    socket.on("close", () => {
      tell({ event: "done", sent });
      process.exit(0);
    });
  },
};

setTimeout(() => process.exit(1), seconds * 1000);
roles[role]();
