// Pages for the hosts of a Lab: `pages.mjs serve|get OPTIONS-AS-JSON`. Tells what it sees as lines of
// JSON. Bounded by itself: it ends after `seconds`, and when its starter has gone.
import { createServer, get } from "node:http";

const [role, text] = process.argv.slice(2);
const {
  address,
  name,
  ports,
  sources = [undefined],
  limit = 10_000,
  seconds = 30,
} = JSON.parse(text ?? "{}");

/** Not "::" for both, for which a client's address of IPv4 would come as one of IPv6. */
const ANY = { host: "0.0.0.0" };

function tell(message, told) {
  process.stdout.write(`${JSON.stringify(message)}\n`, told);
}

const roles = {
  /** Pages that say who serves them, on which port and to whom. */
  async serve() {
    for (const each of ports) {
      const server = createServer((request, response) => {
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
  async get() {
    for (const source of sources) {
      for (const each of ports) tell(await page(source, each, limit));
    }
    tell({ event: "done" }, () => process.exit(0));
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
process.stdin.on("end", () => process.exit(1)).resume();
await roles[role]();
