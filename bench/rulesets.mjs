// Rulesets of any size, and flows that they are about or not. All rules accept: a packet is what it was
// when its rule was found, and may come again. In none of them does a rule stand twice.
import { Random } from "./random.mjs";

const TCP = 6;
const UDP = 17;
const TRANSPORTS = { [TCP]: "tcp", [UDP]: "udp" };

const ipv4 = (bytes) => bytes.join(".");
const ipv6 = (bytes) =>
  Array.from({ length: 8 }, (_, word) =>
    ((bytes[2 * word] << 8) | bytes[2 * word + 1]).toString(16),
  ).join(":");

/** The first `length` bits of an address, zeros behind them. */
function networkOf(bytes, length) {
  return bytes.map((byte, index) => {
    const bits = Math.min(8, Math.max(0, length - 8 * index));
    return byte & (0xff00 >> bits);
  });
}

/** An address in a network. */
function addressIn(random, { bytes, length }) {
  const network = networkOf(bytes, length);
  return bytes.map((_, index) => {
    const bits = Math.min(8, Math.max(0, length - 8 * index));
    return network[index] | random.below(0x100 >> bits);
  });
}

const textOf = ({ bytes, length }) => `${bytes.length === 4 ? ipv4(bytes) : ipv6(bytes)}/${length}`;

const EPHEMERAL = { first: 1024, last: 65535 };
const portOf = (random, { first, last }) => random.between(first, last);
const portsText = ({ first, last }) => (first === last ? `${first}` : `${first}-${last}`);

/** Things that differ in their text, as many as asked for. */
function distinct(count, make) {
  const found = new Map();
  while (found.size < count) {
    const [text, thing] = make(found.size);
    if (!found.has(text)) found.set(text, thing);
  }
  return [...found.values()];
}

const ROUTERS_OF_SITE = 250;

/**
 * A rule for each of a collector's routers: its address, and the ports of NetFlow, IPFIX and sFlow. The
 * routers of a site have addresses one behind the other; the rules stand in no order.
 */
function routers(size, random) {
  const ports = [2055, 4739, 6343];
  const service = [192, 0, 2, 1];
  const addresses = random.shuffled(
    Array.from({ length: size }, (_, index) => {
      const site = Math.floor(index / ROUTERS_OF_SITE);
      return [10, site >> 8, site & 255, 1 + (index % ROUTERS_OF_SITE)];
    }),
  );
  const flow = (source, dport) => ({
    source,
    destination: service,
    sport: portOf(random, EPHEMERAL),
    dport,
    transport: UDP,
  });
  return {
    rules: addresses.map(
      (address) => `udp saddr ${ipv4(address)} dport { ${ports.join(", ")} } actions accept`,
    ),
    ofRule: (index) => flow(addresses[index], random.pick(ports)),
    /** The same for a search that knows ranges, but no sets. */
    simple: (index) => ({
      source: { bytes: addresses[index], length: 32 },
      dports: { first: Math.min(...ports), last: Math.max(...ports) },
      transport: UDP,
    }),
    /** A router that no rule knows, or a port of one that a rule knows. */
    ofNone: () =>
      random.below(2) === 0
        ? flow([10, random.between(100, 255), random.below(256), random.below(256)], 2055)
        : flow(random.pick(addresses), 53),
  };
}

/** Lengths of prefixes, each as often as it stands there: most are as sites and providers have them. */
const LENGTHS = {
  4: [12, 14, 16, 16, 18, 19, 20, 20, 21, 22, 22, 23, 24, 24, 24, 24, 24, 24, 26, 28, 32],
  16: [29, 32, 32, 36, 40, 44, 48, 48, 48, 48, 48, 52, 56, 56, 60, 64, 64, 128],
};

/**
 * A rule for each network, in IPv4 and IPv6 by halves, of mixed lengths, the longest first: those of
 * shorter ones lie around them.
 */
function networks(size, random) {
  const service = { 4: [192, 0, 2, 1], 16: [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 1] };
  const prefixes = distinct(size, (index) => {
    const bytes =
      index % 2 === 0
        ? [random.between(16, 99), ...Array.from({ length: 3 }, () => random.below(256))]
        : [0x2a, random.below(16), ...Array.from({ length: 14 }, () => random.below(256))];
    const length = random.pick(LENGTHS[bytes.length]);
    const prefix = { bytes: networkOf(bytes, length), length };
    return [textOf(prefix), prefix];
  });
  prefixes.sort((one, other) => hostBits(one) - hostBits(other));
  // What no other holds, so that there are flows of the last rule.
  prefixes[size - 1] = { bytes: [100, 64, 0, 0], length: 10 };
  const flow = (source, dport) => ({
    source,
    destination: service[source.length],
    sport: portOf(random, EPHEMERAL),
    dport,
    transport: UDP,
  });
  return {
    rules: prefixes.map((prefix) => `udp saddr ${textOf(prefix)} dport 2055 actions accept`),
    ofRule: (index) => flow(addressIn(random, prefixes[index]), 2055),
    /** Of no network that a rule knows, or another port. */
    ofNone: () =>
      random.below(2) === 0
        ? flow(
            [random.between(128, 191), ...Array.from({ length: 3 }, () => random.below(256))],
            2055,
          )
        : flow(addressIn(random, random.pick(prefixes)), 2056),
  };
}

const hostBits = ({ bytes, length }) => 8 * bytes.length - length;

/**
 * What firewalls have: services in networks of their own, some fifty rules for each, with ports, sets of
 * them, ranges and ranges on both sides, TCP and UDP, for everybody or for clients of a network.
 */
function services(size, random) {
  const RULES_OF_NETWORK = 50;
  const networkCount = Math.max(1, Math.ceil(size / RULES_OF_NETWORK));
  const serviceNetworks = Array.from({ length: networkCount }, (_, index) => ({
    bytes: [10, 64 + (index >> 8), index & 255, 0],
    length: 24,
  }));
  const one = () => {
    const port = random.between(1, 49151);
    return { first: port, last: port };
  };
  const range = (most) => {
    const first = random.between(1, 49151 - most);
    return { first, last: first + random.between(1, most) };
  };
  const make = () => {
    const destination = random.pick(serviceNetworks);
    const rule = { destination, transport: random.pick([TCP, UDP]), dports: [one()] };
    switch (random.below(8)) {
      case 0:
      case 1:
        return { ...rule, dports: [range(100)] };
      case 2:
        return { ...rule, dports: [range(2000)], source: clients() };
      case 3:
        return { ...rule, dports: [one(), one(), range(20)].sort((a, b) => a.first - b.first) };
      case 4:
        return { ...rule, sport: random.pick([EPHEMERAL, { first: 32768, last: 60999 }]) };
      case 5:
        return { ...rule, source: clients() };
      case 6:
        return { ...rule, destination: host(destination) };
      default:
        return rule;
    }
  };
  const clients = () => ({
    bytes: [172, random.between(16, 31), random.below(256), 0],
    length: random.pick([16, 20, 24]),
  });
  const host = (network) => ({ bytes: addressIn(random, network), length: 32 });
  const text = ({ destination, source, sport, dports, transport }) =>
    [
      TRANSPORTS[transport],
      source === undefined
        ? ""
        : ` saddr ${textOf({ ...source, bytes: networkOf(source.bytes, source.length) })}`,
      ` daddr ${textOf(destination)}`,
      sport === undefined ? "" : ` sport ${portsText(sport)}`,
      ` dport { ${dports.map(portsText).join(", ")} } actions accept`,
    ].join("");
  const rules = distinct(size, () => {
    const rule = make();
    return [text(rule), rule];
  });
  // What no other is about, so that there are flows of the last rule.
  rules[size - 1] = {
    ...rules[size - 1],
    destination: { bytes: [10, 32, 0, 0], length: 24 },
  };
  const anyone = { bytes: [198, 51, 100, 0], length: 24 };
  const flow = ({ source = anyone, destination, sport = EPHEMERAL, dports, transport }) => ({
    source: addressIn(random, source),
    destination: addressIn(random, destination),
    sport: portOf(random, sport),
    dport: portOf(random, random.pick(dports)),
    transport,
  });
  return {
    rules: rules.map(text),
    ofRule: (index) => flow(rules[index]),
    /** To no network that a rule knows, or to a port beyond those of the rules. */
    ofNone: () =>
      random.below(2) === 0
        ? flow({ ...random.pick(rules), destination: { bytes: [10, 16, 0, 0], length: 16 } })
        : flow({ ...random.pick(rules), dports: [{ first: 50000, last: 65535 }] }),
  };
}

/** By name: `rules` as texts, and for one of them or for none a flow, another one with each call. */
export const RULESETS = { routers, networks, services };

export function ruleset(kind, size) {
  return RULESETS[kind](size, new Random(size));
}
