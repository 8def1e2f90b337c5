// TCP over TCP without a carrier: throughput of iperf3 and connections per second, with the
// kernel's defaults, against the same without us.
import { Connections } from "./connections.mjs";
import { FunneledPath, translateRules } from "./funneled.mjs";
import { iperf } from "./iperf.mjs";
import { DEVICE, Path } from "./path.mjs";
import { compare, inTurn } from "./rounds.mjs";

export const TRANSFER_ROUNDS = 15;
export const CONNECTION_ROUNDS = 31;

const PORT = 8080;
const SERVICE_PORT = 80;
/** No rule is about it. */
const OTHER_PORT = 8081;

const THROUGHPUT = { unit: "Gbit/s", digits: 2, ratioDigits: 3 };
const CONNECTIONS = { unit: "k connections/s", digits: 1, ratioDigits: 3 };
const LEAST_THROUGHPUT = 0.97;
const LEAST_CONNECTIONS = 0.9;

const LOCAL = { place: ({ client }) => ({ host: client, device: DEVICE, direction: "egress" }) };
const FORWARDED = {
  gateway: true,
  place: ({ gateway }) => ({ host: gateway, device: DEVICE, direction: "ingress" }),
};

/** `other`: also measured with traffic that no rule is about. */
const TRANSFERS = [
  { path: LOCAL, congestionControl: "cubic", streams: 1, other: true },
  { path: LOCAL, congestionControl: "cubic", streams: 16 },
  { path: LOCAL, congestionControl: "bbr", streams: 1 },
  { path: LOCAL, congestionControl: "bbr", streams: 16 },
  { path: FORWARDED, congestionControl: "cubic", streams: 1 },
];

/** A client sends a SYN, its byte and a FIN at the least, in whatever packets. */
const LEAST_PACKETS = 3;

const rateOf = ({ bytes, seconds }) => (bytes * 8) / seconds / 1e9;
const leastOf = ({ bytes }) => ({ unit: "bytes", near: bytes, far: bytes });

const connectionRateOf = ({ connections, seconds }) => connections / seconds / 1000;
const leastOfConnections = ({ connections }) => {
  const packets = connections * LEAST_PACKETS;
  return { unit: "packets", near: packets, far: packets };
};

/**
 * Does the work with two paths alike, one that stays bare and one with its funnels, and takes all of it
 * away again. To attach and detach between rounds on one path disturbs what runs just behind it.
 */
async function onPaths({ gateway, place }, signal, work) {
  const [bare, path] = [new Path(signal), new Path(signal)];
  let funnels;
  try {
    await bare.start({ gateway });
    await path.start({ gateway });
    const rules = translateRules(PORT, SERVICE_PORT);
    funnels = await FunneledPath.load(rules, place(path), path.server);
    return await work({ bare, path, funnels });
  } finally {
    await funnels?.close();
    await path.close();
    await bare.close();
  }
}

/**
 * The rows of one measurement, which is `measure(path, port)`.
 *
 * @param {{ rate: (result: any) => number, least: (result: any) => object }} reading of its result
 */
async function rowsOf(paths, measure, { rate, least }, { what, goal, other, ...look }, settings) {
  const { bare, path, funnels } = paths;
  const variants = {
    plain: async () => rate(await measure(bare, PORT)),
    translated: async () => rate(await funnels.during(() => measure(path, PORT), least)),
  };
  if (other) {
    variants.other = async () =>
      rate(await funnels.passing(() => measure(path, OTHER_PORT), least));
  }
  const samples = await inTurn(variants, settings.rounds, settings.signal);
  const row = (name, samplesOfIt, limit) =>
    compare({ what: name, against: "plain", least: limit, ...look }, samplesOfIt, samples.plain);
  return [
    row(`translate, ${what}`, samples.translated, goal),
    ...(other ? [row(`attached, other traffic, ${what}`, samples.other)] : []),
  ];
}

async function measureTransfer({ path, other, ...options }, settings) {
  const { congestionControl, streams } = options;
  const forwarded = path.gateway ? "forwarded, " : "";
  const what = `${forwarded}${congestionControl}, ${streams === 1 ? "1 stream" : `${streams} streams`}`;
  const description = { what, goal: LEAST_THROUGHPUT, other, ...THROUGHPUT };
  return onPaths(path, settings.signal, (paths) =>
    rowsOf(
      paths,
      (hosts, port) => iperf(hosts, { port, ...options }, settings.signal),
      { rate: rateOf, least: leastOf },
      description,
      settings,
    ),
  );
}

async function measureConnections(settings) {
  const description = { what: "connections", goal: LEAST_CONNECTIONS, other: true, ...CONNECTIONS };
  return onPaths(LOCAL, settings.signal, async (paths) => {
    const connections = new Map();
    for (const path of [paths.bare, paths.path]) {
      connections.set(path, await Connections.prepare(path, settings.signal));
    }
    return rowsOf(
      paths,
      (path, port) => connections.get(path).make(port),
      { rate: connectionRateOf, least: leastOfConnections },
      description,
      settings,
    );
  });
}

/** Gives a row for each measurement, and one for other traffic where that was measured too. */
export async function measureTranslate({ rounds, signal }) {
  const rows = [];
  for (const transfer of TRANSFERS) {
    rows.push(...(await measureTransfer(transfer, { rounds: rounds ?? TRANSFER_ROUNDS, signal })));
  }
  rows.push(...(await measureConnections({ rounds: rounds ?? CONNECTION_ROUNDS, signal })));
  return rows;
}
