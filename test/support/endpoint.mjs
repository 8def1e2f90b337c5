// A program for the hosts of a Lab: `endpoint.mjs ROLE OPTIONS-AS-JSON`. Tells what it sees as
// lines of JSON on stdout; the line "stop" on stdin ends what has no end of its own. Bounded by
// itself: it ends after `seconds` (30 by default), and when whoever started it has gone.
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

const [role, text] = process.argv.slice(2);
const options = JSON.parse(text ?? "{}");
const { address, port, from, seconds = 30, count = 1, length = 0 } = options;

function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Tells and ends, once it is told. */
function finish(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`, () => process.exit(0));
}

/** A payload of at least `length` bytes that starts with `text`. */
function payload(text, length) {
  return Buffer.from(text.padEnd(length, "."));
}

/** The text that a payload started with. */
function textOf(data) {
  return data.toString().replace(/\.+$/, "");
}

function udpSocket() {
  return createSocket(address?.includes(":") ? "udp6" : "udp4");
}

let stop = () => {};

const roles = {
  /**
   * Tells of every datagram and sends it back; with `silent` it does not answer, with `quiet` it does not
   * tell.
   */
  udpEcho() {
    const socket = udpSocket();
    socket.on("message", (data, sender) => {
      if (!options.quiet)
        tell({
          event: "datagram",
          text: textOf(data),
          length: data.length,
          sender: sender.address,
          senderPort: sender.port,
        });
      if (!options.silent) socket.send(data, sender.port, sender.address);
    });
    socket.bind(port, address, () => tell({ event: "ready" }));
  },

  /** Sends `count` datagrams, with `echo` (default) the next one after the echo of the last. */
  udpSend() {
    const { echo = true } = options;
    const socket = udpSocket();
    let sent = 0;
    const send = () => {
      if (sent === count) {
        finish({ event: "done", sent });
        return;
      }
      socket.send(payload(`datagram ${sent++}`, length), port, address, (error) => {
        if (error) tell({ event: "error", code: error.code });
        else if (!echo) send();
      });
    };
    socket.on("message", (data, sender) => {
      tell({
        event: "echo",
        text: textOf(data),
        length: data.length,
        sender: sender.address,
        senderPort: sender.port,
      });
      send();
    });
    socket.bind(from ?? 0, send);
  },

  /**
   * Sends numbered datagrams until "stop", `window` every `interval` milliseconds at most. With
   * `echo` (default) no more than a window is on the way at any time, and it ends when all have
   * come back. So no queue runs over, and whatever is missing was lost.
   */
  udpStream() {
    const { window = 16, interval = 1, echo = true } = options;
    const socket = udpSocket();
    const missing = new Set();
    let sent = 0;
    let unexpected = 0;
    let stopping = false;
    const send = () => {
      for (let left = window - missing.size; left > 0; left--) {
        if (echo) missing.add(sent);
        socket.send(payload(`datagram ${sent++}`, length), port, address);
      }
    };
    const endIfAllCameBack = () => {
      if (stopping && missing.size === 0) finish({ event: "done", sent, unexpected });
    };
    socket.on("message", (data, sender) => {
      const number = Number(textOf(data).split(" ")[1]);
      if (sender.port !== port || !missing.delete(number)) unexpected++;
      if (number === 0) tell({ event: "first" });
      endIfAllCameBack();
    });
    let timer;
    stop = () => {
      stopping = true;
      clearInterval(timer);
      tell({ event: "stopping", sent, missing: [...missing] });
      endIfAllCameBack();
    };
    socket.bind(from ?? 0, () => {
      timer = setInterval(send, interval);
    });
  },

  /** Answers every connection with what it sends. */
  tcpEcho() {
    createServer((socket) => {
      const sender = { sender: socket.remoteAddress, senderPort: socket.remotePort };
      if (!options.quiet) tell({ event: "connection", ...sender });
      socket.on("error", (error) => tell({ event: "error", code: error.code }));
      socket.pipe(socket);
    }).listen(port, address, () => tell({ event: "ready" }));
  },

  /** Listens on ports of TCP and of UDP, and tells of whatever comes there. */
  listenOnly() {
    const { tcp = [], udp = [] } = options;
    let open = tcp.length + udp.length;
    const ready = () => {
      if (--open === 0) tell({ event: "ready" });
    };
    for (const port of tcp) {
      createServer((socket) => {
        tell({ event: "heard", port, senderPort: socket.remotePort });
        socket.on("error", () => {});
      }).listen(port, address, ready);
    }
    for (const port of udp) {
      const socket = udpSocket();
      socket.on("message", (_, sender) => {
        tell({ event: "heard", port, senderPort: sender.port });
      });
      socket.bind(port, address, ready);
    }
  },

  /**
   * Until "stop", connections one after the other, one every `interval` milliseconds at most: each sends a
   * message, waits for its echo, and closes.
   */
  tcpChurn() {
    const { interval = 20 } = options;
    let begun = 0;
    let stopping = false;
    const next = () => {
      if (stopping) {
        finish({ event: "done", begun });
        return;
      }
      const wait = new Promise((resolve) => setTimeout(resolve, interval));
      const message = payload(`message ${begun++}`, length);
      const received = [];
      const socket = connect({ host: address, port });
      socket.on("connect", () => socket.write(message));
      socket.on("data", (data) => {
        received.push(data);
        if (Buffer.concat(received).length >= message.length) socket.end();
      });
      socket.on("error", (error) => tell({ event: "error", code: error.code, number: begun }));
      socket.on("close", () => {
        const isWhole = Buffer.concat(received).equals(message);
        if (!isWhole) tell({ event: "wrong", number: begun, length: received.length });
        wait.then(next);
      });
    };
    stop = () => {
      stopping = true;
    };
    next();
  },

  /** Connects, sends one message after the other's echo, closes. "stop" resets the connection. */
  tcpSend() {
    const socket = connect({ host: address, port, ...(from ? { localPort: from } : {}) });
    let sent = 0;
    let expected = 0;
    let received = 0;
    const send = () => {
      if (sent === count) {
        socket.end();
        return;
      }
      const message = payload(`message ${sent++}`, length);
      expected = message.length;
      received = 0;
      socket.write(message);
    };
    socket.setNoDelay(true);
    socket.on("connect", () => {
      tell({ event: "connected", localPort: socket.localPort });
      send();
    });
    socket.on("data", (data) => {
      received += data.length;
      if (received < expected) return;
      tell({ event: "echo", length: received });
      send();
    });
    socket.on("error", (error) => tell({ event: "error", code: error.code }));
    socket.on("close", () => finish({ event: "done", sent }));
    stop = () => socket.resetAndDestroy();
  },
};

setTimeout(() => process.exit(1), seconds * 1000);
createInterface({ input: process.stdin })
  .on("line", (line) => {
    if (line === "stop") stop();
  })
  .on("close", () => process.exit(1));
roles[role]();
