// A client, in its network namespace: `client.mjs FAMILY`. For each line on stdin, the number of
// rounds, it asks all ports of the service so many times, one after the other, every time from a new
// socket. Prints one line: a list of { title, backend, address } or { title, error }.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { get } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { scene } from "./service.mjs";

const TIMEOUT_MILLISECONDS = 5000;

const { family, service } = scene(process.argv[2]);

async function askHttp(port, signal) {
  const request = get({ host: service.address, port, agent: false, signal });
  const [response] = await once(request, "response", { signal });
  return text(response);
}

async function askUdp(port, signal) {
  const socket = createSocket(family === "ipv6" ? "udp6" : "udp4");
  try {
    socket.connect(port, service.address);
    await once(socket, "connect", { signal });
    socket.send("hello");
    const [message] = await once(socket, "message", { signal });
    return message.toString();
  } finally {
    socket.close();
  }
}

async function ask({ title, transport, port }) {
  const signal = AbortSignal.timeout(TIMEOUT_MILLISECONDS);
  try {
    const answer = await (transport === "tcp" ? askHttp : askUdp)(port, signal);
    return { title, ...JSON.parse(answer) };
  } catch (error) {
    return { title, error: signal.aborted ? "no answer" : (error.code ?? error.message) };
  }
}

async function askAll(rounds) {
  const answers = [];
  const dead = new Set();
  for (let round = 0; round < rounds; round++) {
    for (const port of service.ports) {
      // One wait for what does not answer is enough.
      if (dead.has(port)) continue;
      const answer = await ask(port);
      if (answer.error) dead.add(port);
      answers.push(answer);
    }
  }
  return answers;
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await askAll(Number(line))));
}
process.exit();
