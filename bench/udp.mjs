// Packets per second of UDP in a TCP carrier against plain UDP, on the same path. The sender's CPU
// is the limit: it pays for the way of each packet up to the server's socket.
import { run } from "../demo/host.mjs";
import { sender } from "./compile.mjs";
import { carrierRules, FunneledPath } from "./funneled.mjs";
import { DEVICE, FAR_DEVICE, Path } from "./path.mjs";
import { compare, inTurn, undisturbed } from "./rounds.mjs";

export const ROUNDS = 21;

const PORT = 2055;
const PAYLOAD = 1200;
const MILLISECONDS = 250;
/** Of what is sent; more, and the receiver was the limit. */
const LARGEST_LOSS = 0.02;

const PATHS = [
  {
    what: "UDP over TCP, local sender",
    least: 0.85,
    place: ({ client }) => ({ host: client, device: DEVICE, direction: "egress" }),
  },
  {
    what: "UDP over TCP, forwarded, funneled at egress",
    least: 0.92,
    gateway: true,
    place: ({ gateway }) => ({ host: gateway, device: FAR_DEVICE, direction: "egress" }),
  },
  {
    what: "UDP over TCP, forwarded, funneled at ingress",
    least: 0.92,
    gateway: true,
    place: ({ gateway }) => ({ host: gateway, device: DEVICE, direction: "ingress" }),
  },
];

/** One round: what was sent and what arrived. */
async function send({ client, server, address }, signal) {
  const words = [client.netns, server.netns, address, PORT, PAYLOAD, MILLISECONDS];
  const result = await undisturbed(async () =>
    JSON.parse(await run(sender("udp-rate"), words.map(String), { signal })),
  );
  const { sent, received } = result;
  if (received >= sent * (1 - LARGEST_LOSS)) return result;
  throw new Error(`of ${sent} packets ${received} arrived: the sender was not the limit`);
}

const rate = ({ received, seconds }) => received / seconds / 1000;

async function measurePath({ what, least, gateway, place }, { rounds, signal }) {
  const path = new Path(signal);
  let funnels;
  try {
    await path.start({ gateway });
    funnels = await FunneledPath.load(carrierRules("udp", PORT), place(path), path.server);
    const samples = await inTurn(
      {
        plain: async () => rate(await funnels.without(() => send(path, signal))),
        funneled: async () =>
          rate(
            await funnels.during(
              () => send(path, signal),
              ({ sent, received }) => ({ unit: "packets", near: sent, far: received }),
            ),
          ),
      },
      rounds,
      signal,
    );
    const description = { what, against: "plain UDP", unit: "k packets/s", least };
    return compare(description, samples.funneled, samples.plain);
  } finally {
    await funnels?.close();
    await path.close();
  }
}

/** Gives one row for each path. */
export async function measureUdp({ rounds = ROUNDS, signal }) {
  const rows = [];
  for (const path of PATHS) rows.push(await measurePath(path, { rounds, signal }));
  return rows;
}
