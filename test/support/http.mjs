// HTTP in bulk for the hosts of a Lab: `http.mjs serve|transfer OPTIONS-AS-JSON`. Both ends hash
// what they send and what they get, and tell so, as lines of JSON. Bounded by itself: it ends after
// `seconds`, and when its starter has gone.
import { createCipheriv, createHash } from "node:crypto";
import { createServer, request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const [role, text] = process.argv.slice(2);
const {
  address,
  port,
  transfers = [],
  together = 1,
  family = "IPv4",
  seconds = 40,
} = JSON.parse(text ?? "{}");

const any = family === "IPv6" ? { host: "::", ipv6Only: true } : { host: "0.0.0.0" };

/** Written at once: enough to fill super-packets, and more than one. */
const BLOCK = Buffer.alloc(256 * 1024);

function tell(message, told) {
  process.stdout.write(`${JSON.stringify(message)}\n`, told);
}

/** `length` bytes that nobody can guess or compress, others for each seed, and their hash. */
function body(seed, length) {
  const key = createHash("md5").update(`${seed}`).digest();
  const cipher = createCipheriv("aes-128-ctr", key, Buffer.alloc(16));
  const hash = createHash("sha256");
  function* blocks() {
    for (let left = length; left > 0; left -= BLOCK.length) {
      const block = cipher.update(BLOCK.subarray(0, Math.min(left, BLOCK.length)));
      hash.update(block);
      yield block;
    }
  }
  return {
    stream: Readable.from(blocks(), { objectMode: false }),
    digest: () => hash.digest("hex"),
  };
}

async function hashOf(stream) {
  const hash = createHash("sha256");
  let length = 0;
  for await (const part of stream) {
    hash.update(part);
    length += part.length;
  }
  return { length, hash: hash.digest("hex") };
}

const roles = {
  /**
   * Sends a body to who GETs /SEED/LENGTH, takes one from who POSTs to it. Nobody is served before
   * `together` requests are there.
   */
  serve() {
    const waiting = [];
    createServer(async (incoming, outgoing) => {
      waiting.push({ incoming, outgoing });
      if (waiting.length < together) return;
      for (const each of waiting.splice(0)) answer(each);
    }).listen({ port, ...any }, () => tell({ event: "ready" }));
  },

  /** All transfers at once, each over a connection of its own. */
  async transfer() {
    await Promise.all(transfers.map(transfer));
    tell({ event: "done" }, () => process.exit(0));
  },
};

async function answer({ incoming, outgoing }) {
  const [seed, length] = incoming.url.slice(1).split("/").map(Number);
  if (incoming.method === "POST") {
    tell({ event: "received", seed, ...(await hashOf(incoming)) });
    outgoing.end();
    return;
  }
  const { stream, digest } = body(seed, length);
  await pipeline(stream, outgoing);
  tell({ event: "sent", seed, length, hash: digest() });
}

async function transfer({ direction, seed, length }) {
  const upload = direction === "upload";
  const path = `/${seed}/${length}`;
  const method = upload ? "POST" : "GET";
  const outgoing = request({ host: address, port, path, method, agent: false });
  const answered = new Promise((resolve, reject) => {
    outgoing.on("response", resolve).on("error", reject);
  });
  if (upload) {
    const { stream, digest } = body(seed, length);
    await pipeline(stream, outgoing);
    (await answered).resume();
    tell({ event: "sent", seed, length, hash: digest() });
  } else {
    outgoing.end();
    tell({ event: "received", seed, ...(await hashOf(await answered)) });
  }
}

setTimeout(() => process.exit(1), seconds * 1000);
process.stdin.on("end", () => process.exit(1)).resume();
await roles[role]();
