// Throughput of one TCP connection in a TCP carrier, with the kernel's defaults, against the same
// connection without one: with segmentation left to nobody (a carrier rules it out on the wire),
// and with the kernel's defaults.
import { run } from "../demo/host.mjs";
import { sender } from "./compile.mjs";
import { carrierRules, FunneledPath } from "./funneled.mjs";
import { DEVICE, Path } from "./path.mjs";
import { compare, inTurn } from "./rounds.mjs";

export const ROUNDS = 7;

const PORT = 5201;
const MILLISECONDS = 1200;
const CONGESTION_CONTROLS = ["cubic", "bbr"];

/** Names of `ethtool -k`, and those that `ethtool -K` takes. */
const OFFLOADS = {
  "tcp-segmentation-offload": "tso",
  "generic-segmentation-offload": "gso",
  "generic-receive-offload": "gro",
};

/** The offloads that are on. */
async function offloadsOf(host) {
  const features = await host.run("ethtool", ["-k", DEVICE]);
  return Object.entries(OFFLOADS)
    .filter(([name]) => new RegExp(`^${name}: on`, "m").test(features))
    .map(([, short]) => short);
}

async function setOffloads(host, offloads, state) {
  if (offloads.length === 0) return;
  await host.run("ethtool", ["-K", DEVICE, ...offloads.flatMap((offload) => [offload, state])]);
}

/** Does the work with the offloads off at both ends of the link. */
async function withoutOffloads({ client, server }, work) {
  const hosts = [];
  for (const host of [client, server]) hosts.push({ host, offloads: await offloadsOf(host) });
  for (const { host, offloads } of hosts) {
    await setOffloads(host, offloads, "off");
    const left = await offloadsOf(host);
    if (left.length > 0) throw new Error(`${host.name} keeps ${left} on`);
  }
  try {
    return await work();
  } finally {
    for (const { host, offloads } of hosts) await setOffloads(host, offloads, "on");
  }
}

/** One round: what has arrived. */
async function send({ client, server, address }, congestionControl, signal) {
  const words = [client.netns, server.netns, address, PORT, congestionControl, MILLISECONDS];
  return JSON.parse(await run(sender("tcp-rate"), words.map(String), { signal }));
}

const rate = ({ bytes, seconds }) => (bytes * 8) / seconds / 1e9;

async function measureOne(path, funnels, congestionControl, { rounds, signal }) {
  const plain = async () =>
    rate(await funnels.without(() => send(path, congestionControl, signal)));
  const samples = await inTurn(
    {
      segmented: () => withoutOffloads(path, plain),
      offloaded: plain,
      funneled: async () =>
        rate(
          await funnels.during(
            () => send(path, congestionControl, signal),
            ({ bytes }) => ({ unit: "bytes", near: bytes, far: bytes }),
          ),
        ),
    },
    rounds,
    signal,
  );
  const description = { what: `TCP over TCP, ${congestionControl}`, unit: "Gbit/s", digits: 2 };
  return [
    compare(
      { ...description, against: "plain, tso, gso and gro off", least: 0.9 },
      samples.funneled,
      samples.segmented,
    ),
    compare({ ...description, against: "plain, defaults" }, samples.funneled, samples.offloaded),
  ];
}

/** Gives two rows for each congestion control. */
export async function measureTcp({ rounds = ROUNDS, signal }) {
  const path = new Path(signal);
  let funnels;
  try {
    await path.start();
    const place = { host: path.client, device: DEVICE, direction: "egress" };
    funnels = await FunneledPath.load(carrierRules("tcp", PORT), place, path.server);
    const rows = [];
    for (const congestionControl of CONGESTION_CONTROLS) {
      rows.push(...(await measureOne(path, funnels, congestionControl, { rounds, signal })));
    }
    return rows;
  } finally {
    await funnels?.close();
    await path.close();
  }
}
