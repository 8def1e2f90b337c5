// A program for the hosts of a Lab that talks when the test says so: `talker.mjs ROLE
// OPTIONS-AS-JSON`. A serving role answers each message with what it saw of it; a talking role
// sends the text of each line of JSON on stdin, {"say": text}, and tells of the answers. All of
// that as lines of JSON. Bounded by itself: it ends after `seconds`, and when its starter has gone.
import { createSocket } from "node:dgram";
import { createServer as createHttpServer, get } from "node:http";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

const [role, text] = process.argv.slice(2);
const options = JSON.parse(text ?? "{}");
const { address, port, from, name, family = "IPv4", seconds = 30 } = options;
const isIpv6 = family === "IPv6" || address?.includes(":");
/** Not "::" for both, for which a client's address of IPv4 would come as one of IPv6. */
const ANY = isIpv6 ? { host: "::", ipv6Only: true } : { host: "0.0.0.0" };

function udpSocket() {
  return createSocket(isIpv6 ? { type: "udp6", ipv6Only: true } : "udp4");
}

function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Tells and ends, once it is told. */
function finish(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`, () => process.exit(0));
}

let say = () => {};
let close = () => {};

const roles = {
  /** A line in, a line out. What it is to say by itself goes to who came last. */
  tcpServe() {
    createServer((socket) => {
      say = (said) => socket.write(`${JSON.stringify({ text: said, name })}\n`);
      const { remoteAddress: sender, remotePort: senderPort } = socket;
      tell({ event: "connection", sender, senderPort });
      socket.setNoDelay(true);
      socket.on("error", (error) => tell({ event: "error", code: error.code }));
      createInterface({ input: socket })
        .on("line", (said) => {
          tell({ event: "said", text: said, sender, senderPort });
          socket.write(`${JSON.stringify({ text: said, name, sender, senderPort })}\n`);
        })
        .on("error", () => {});
    }).listen({ port, ...ANY }, () => tell({ event: "ready" }));
  },

  /** A datagram in, a datagram out. */
  udpServe() {
    const socket = udpSocket();
    socket.on("message", (data, { address: sender, port: senderPort }) => {
      const seen = { text: data.toString(), sender, senderPort };
      tell({ event: "said", ...seen });
      socket.send(JSON.stringify({ ...seen, name }), senderPort, sender);
    });
    socket.bind(port, ANY.host, () => tell({ event: "ready" }));
  },

  tcpTalk() {
    const local = from === undefined ? {} : { localPort: from };
    const socket = connect({ host: address, port, ...local });
    socket.setNoDelay(true);
    socket.on("connect", () => tell({ event: "ready", localPort: socket.localPort }));
    socket.on("error", (error) => tell({ event: "error", code: error.code }));
    socket.on("close", () => finish({ event: "closed" }));
    createInterface({ input: socket })
      .on("line", (line) => tell({ event: "answer", ...JSON.parse(line) }))
      .on("error", () => {});
    say = (said) => socket.write(`${said}\n`);
    close = () => socket.end();
  },

  udpTalk() {
    const socket = udpSocket();
    socket.on("message", (data) => tell({ event: "answer", ...JSON.parse(data.toString()) }));
    socket.bind(from ?? 0, () => tell({ event: "ready", localPort: socket.address().port }));
    say = (said) => socket.send(said, port, address);
    close = () => finish({ event: "closed" });
  },

  /**
   * Flows of one datagram and its answer, each from a port of its own: so many as it is told to
   * begin, a few at a time.
   */
  udpFlows() {
    const { window = 8 } = options;
    let next = from;
    let wanted = from;
    let open = 0;
    const begin = () => {
      while (open < window && next < wanted) {
        open++;
        const own = next++;
        const socket = udpSocket();
        socket.on("message", (data) => {
          const answer = JSON.parse(data.toString());
          if (answer.text !== `from ${own}` || answer.senderPort !== own) {
            tell({ event: "mistaken", own, answer });
          }
          socket.close();
          open--;
          begin();
        });
        socket.bind(own, () => socket.send(`from ${own}`, port, address));
      }
      if (open === 0) tell({ event: "begun", count: next - from });
    };
    say = (count) => {
      wanted += count;
      begin();
    };
  },

  /** Pages that say who serves them, on which port and to whom. */
  async httpServe() {
    for (const each of options.ports) {
      const server = createHttpServer((request, response) => {
        const client = request.socket.remoteAddress;
        response.end(JSON.stringify({ name, port: each, client }));
      });
      await new Promise((resolve) => server.listen({ port: each, ...ANY }, resolve));
    }
    tell({ event: "ready" });
  },

  /**
   * Gets the page of each port, from each of its own addresses in turn, with a connection for
   * each; a page that takes longer than `limit` milliseconds is given up.
   */
  async httpGet() {
    const { ports, sources = [undefined], limit = 10_000 } = options;
    for (const source of sources) {
      for (const each of ports) tell(await page(source, each, limit));
    }
    finish({ event: "done" });
  },
};

function page(source, each, limit) {
  const local = source === undefined ? {} : { localAddress: source };
  const request = get({ host: address, port: each, agent: false, ...local });
  return new Promise((resolve) => {
    const failed = (code) => resolve({ event: "failed", source, port: each, code });
    const timer = setTimeout(() => {
      failed("TIMEOUT");
      request.destroy();
    }, limit);
    request.on("error", (error) => failed(error.code));
    request.on("response", async (response) => {
      let body = "";
      for await (const part of response) body += part;
      clearTimeout(timer);
      resolve({ event: "page", source, ...JSON.parse(body) });
    });
  });
}

setTimeout(() => process.exit(1), seconds * 1000);
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const told = JSON.parse(line);
    if ("say" in told) say(told.say);
    else close();
  })
  .on("close", () => process.exit(1));
await roles[role]();
