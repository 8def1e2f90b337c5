// A program for the hosts of a Lab, of tests that ask who serves whom. It has many addresses, and for each
// line of JSON on stdin asks flows from each of them. Tells of it as lines of JSON. Bounded by itself: it
// ends when its starter has gone, and soon after any test.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, isIPv6 } from "node:net";
import { createInterface } from "node:readline";

/** Seconds. */
const LONGEST_RUN = 300;

function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function askTcp({ address, port, source, from }, signal) {
  const socket = connect({ host: address, port, localAddress: source, localPort: from, signal });
  socket.on("error", () => {}); // Whoever waits for it hears of it.
  let answer = "";
  socket.setEncoding("utf8").on("data", (data) => {
    answer += data;
  });
  await once(socket, "connect", { signal });
  socket.write("who?");
  await once(socket, "end", { signal });
  return answer;
}

async function askUdp({ address, port, source, from }, signal) {
  const socket = createSocket({ type: isIPv6(address) ? "udp6" : "udp4", reuseAddr: true });
  try {
    socket.bind(from, source);
    await once(socket, "listening", { signal });
    socket.connect(port, address);
    await once(socket, "connect", { signal });
    socket.send("who?");
    const [answer] = await once(socket, "message", { signal });
    return answer.toString();
  } finally {
    socket.close();
  }
}

async function ask(question, limit) {
  const { transport, port, source } = question;
  const signal = AbortSignal.timeout(limit);
  const asked = { transport, port, source };
  try {
    const answer = await (transport === "tcp" ? askTcp : askUdp)(question, signal);
    return { ...asked, ...JSON.parse(answer) };
  } catch (error) {
    return { ...asked, error: signal.aborted ? "no answer" : (error.code ?? error.message) };
  }
}

/**
 * All sources at once, each its flows one after the other. The flow that comes first, and so may
 * choose, differs from source to source.
 */
async function askAll({ address, flows, sources, limit = 10_000 }) {
  const ofSources = await Promise.all(
    sources.map(async (source, index) => {
      const answers = [];
      for (let turn = 0; turn < flows.length; turn++) {
        const flow = flows[(index + turn) % flows.length];
        answers.push(await ask({ ...flow, address, source }, limit));
      }
      return answers;
    }),
  );
  return ofSources.flat();
}

setTimeout(() => process.exit(1), LONGEST_RUN * 1000);
const lines = createInterface({ input: process.stdin });
lines.on("close", () => process.exit(1));
lines.on("line", async (line) => {
  const { number, ...question } = JSON.parse(line);
  tell({ event: "answers", number, answers: await askAll(question) });
});
tell({ event: "ready" });
