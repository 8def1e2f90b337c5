/** Frames in, frames out: the carrier goes on and comes off, and every checksum is right. */
import { describe, expect, it } from "vitest";
import type { Family, Transport } from "../../lib/rules/types.ts";
import {
  bothWays,
  carried,
  FAMILIES,
  type Fields,
  IP_HEADER,
  type Pair,
  plain,
  tagged,
} from "../support/both-ways.ts";
import {
  bytes,
  type Checksum,
  checksumsOf,
  concat,
  type Ipv4Fields,
  type Ipv6Fields,
  ipv4,
  ipv6,
  type Layer,
  nat,
  pad,
  payload,
  type TcpFields,
  tcp,
  tcpCarrier,
  type UdpFields,
  udp,
  udpCarrier,
} from "../support/packet.ts";
import { type Row, table } from "../support/table.ts";

const TRANSPORTS: readonly Transport[] = ["tcp", "udp"];
const PAIRS = TRANSPORTS.flatMap((inner) => TRANSPORTS.map((over) => ({ inner, over })));
const CARRIER = { sport: 540, dport: 179 };
const LENGTHS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1399];

const flow = (transport: Transport, fields: TcpFields & UdpFields, content?: Uint8Array): Layer =>
  transport === "tcp" ? tcp(fields, content) : udp(fields, content);

const carrier = (transport: Transport, fields: TcpFields & UdpFields, inner: Layer): Layer =>
  transport === "tcp" ? tcpCarrier(fields, inner) : udpCarrier(fields, inner);

const funnelRule = (inner: Transport, over: Transport) =>
  `${inner} dport 2055 actions funnel ${over} dport 179 sport 540`;
const unfunnelRule = (inner: Transport, over: Transport) =>
  `${over} dport 179 actions unfunnel ${inner} allow 2055`;

/** The same frame with and without its carrier, once in each direction. */
function thereAndBack(
  name: string,
  pair: { inner: Transport; over: Transport },
  plain: Uint8Array,
  funneled: Uint8Array,
): Row[] {
  const { inner, over } = pair;
  return [
    {
      name: `funnel ${name}`,
      rules: funnelRule(inner, over),
      direction: "egress",
      frame: plain,
      outcome: "funneled",
      out: funneled,
      inner,
    },
    {
      name: `unfunnel ${name}`,
      rules: unfunnelRule(inner, over),
      direction: "ingress",
      frame: funneled,
      outcome: "unfunneled",
      out: plain,
      inner,
    },
  ];
}

function framePair(
  pair: Pair,
  ip: Ipv4Fields & Ipv6Fields,
  fields: TcpFields & UdpFields,
  content: Uint8Array,
  carrierFields: TcpFields & UdpFields = {},
): [Uint8Array, Uint8Array] {
  const inner = flow(pair.inner, fields, content);
  const build = pair.family === "ip6" ? ipv6 : ipv4;
  return [build(ip, inner), build(ip, carrier(pair.over, { ...CARRIER, ...carrierFields }, inner))];
}

/** Both frames in tags, or with padding, or what else is done to whole frames. */
const each = (frames: [Uint8Array, Uint8Array], change: (frame: Uint8Array) => Uint8Array) =>
  frames.map(change) as [Uint8Array, Uint8Array];

for (const pair of PAIRS) {
  const { inner, over } = pair;
  table(`${inner} over ${over}`, [
    ...LENGTHS.flatMap((length) =>
      thereAndBack(
        `${length} bytes`,
        pair,
        ...framePair(pair, { tos: 0xb8, ttl: 3, id: 0xfedc, df: true }, {}, payload(length)),
      ),
    ),
    ...[4, 8, 12, 16, 20, 24, 28, 32, 36, 40].flatMap((length) =>
      thereAndBack(
        `behind ${length} bytes of IP options`,
        pair,
        ...framePair(pair, { options: payload(length) }, {}, payload(21)),
      ),
    ),
    ...thereAndBack(
      "with padding behind the IP length",
      pair,
      ...each(framePair(pair, {}, {}, payload(5)), (frame) => pad(frame, 7, 0xee)),
    ),
    ...thereAndBack(
      "with the reserved bit of IP and every field at its edge",
      pair,
      ...framePair(
        pair,
        { reserved: true, ttl: 255, id: 0xffff, tos: 0xff, src: "255.255.255.255" },
        { sport: 65535 },
        payload(13),
      ),
    ),
    ...thereAndBack(
      "whose IP checksum is wrong stays so",
      pair,
      ...framePair(pair, { checksum: { wrongBy: 0x1234 } }, {}, payload(4)),
    ),
    ...(inner === "tcp"
      ? thereAndBack(
          "with TCP options and all flags",
          pair,
          ...framePair(pair, {}, { options: payload(40), flags: 0xff, urgent: 9 }, payload(3)),
        )
      : []),
    ...LENGTHS.flatMap((length) =>
      thereAndBack(
        `${length} bytes over IPv6`,
        pair,
        ...framePair(
          { ...pair, family: "ip6" },
          { trafficClass: 0xb8, hopLimit: 3, flowLabel: 0xfedcb },
          {},
          payload(length),
        ),
      ),
    ),
    ...FAMILIES.flatMap((family) =>
      ([1, 2] as const).flatMap((tags) =>
        [0, 1, 33, 1399].flatMap((length) => {
          const frames = framePair({ ...pair, family }, {}, {}, payload(length));
          return [
            ...thereAndBack(
              `${length} bytes over ${family} in ${tags} VLANs`,
              pair,
              ...each(frames, (frame) => tagged(frame, tags)),
            ),
            ...thereAndBack(
              `${length} bytes over ${family} in ${tags} VLANs, padded`,
              pair,
              ...each(frames, (frame) => pad(tagged(frame, tags), 9, 0xee)),
            ),
          ];
        }),
      ),
    ),
    ...thereAndBack(
      "over IPv6 with padding behind its length",
      pair,
      ...each(framePair({ ...pair, family: "ip6" }, {}, {}, payload(5)), (frame) =>
        pad(frame, 7, 0xee),
      ),
    ),
    ...thereAndBack(
      "over IPv6 with every field at its edge",
      pair,
      ...framePair(
        { ...pair, family: "ip6" },
        {
          trafficClass: 0xff,
          hopLimit: 255,
          flowLabel: 0xfffff,
          src: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        },
        { sport: 65535 },
        payload(13),
      ),
    ),
    ...(["ff02::fb", "::", "::1"] as const).flatMap((dst) =>
      thereAndBack(
        `over IPv6 to ${dst}`,
        pair,
        ...framePair({ ...pair, family: "ip6" }, { dst }, {}, payload(12)),
      ),
    ),
    ...(["224.0.0.251", "255.255.255.255"] as const).flatMap((dst) =>
      thereAndBack(`to ${dst}`, pair, ...framePair(pair, { dst }, {}, payload(12))),
    ),
  ]);
}

/**
 * A wrong inner checksum is not looked at and stays wrong by as much. The carrier's sum is taken
 * from it and not from the payload, so it is wrong by as much too, and whoever looks at either
 * sees the damage.
 */
table(
  "wrong checksums of the flow stay wrong",
  PAIRS.flatMap((pair) =>
    FAMILIES.flatMap((family) =>
      [1, 0x0100, 0x7fff].flatMap((wrongBy) =>
        thereAndBack(
          `${pair.inner} over ${pair.over} over ${family}, by ${wrongBy}`,
          pair,
          ...framePair({ ...pair, family }, {}, { checksum: { wrongBy } }, payload(31), {
            checksum: { wrongBy },
          }),
        ),
      ),
    ),
  ),
);

/** The carrier's own checksum protects nothing that the inner one does not. */
table(
  "a carrier with a wrong checksum is unfunneled",
  PAIRS.flatMap(({ inner, over }) =>
    [ipv4, ipv6].map((build) => ({
      name: `${inner} over ${over}, ${build.name}`,
      rules: unfunnelRule(inner, over),
      direction: "ingress",
      frame: build(
        {},
        carrier(over, { ...CARRIER, checksum: { wrongBy: 77 } }, flow(inner, {}, payload(9))),
      ),
      outcome: "unfunneled",
      out: build({}, flow(inner, {}, payload(9))),
      inner,
    })),
  ),
);

table(
  "a UDP flow without a checksum has none on the way either",
  TRANSPORTS.flatMap((over) =>
    FAMILIES.flatMap((family) =>
      [...LENGTHS, 503, 504, 505, 511, 512, 513, 1015, 1016, 1017].flatMap((length) =>
        thereAndBack(
          `${length} bytes over ${over} over ${family}`,
          { inner: "udp", over },
          ...framePair({ inner: "udp", over, family }, {}, { checksum: "none" }, payload(length)),
        ),
      ),
    ),
  ),
);

/**
 * `content` with two more bytes that bring a checksum to 0: with zeros there it is c, and the
 * sum grows by c where c is put.
 */
function balanced(checksumWith: (content: Uint8Array) => number, content: Uint8Array): Uint8Array {
  const checksum = checksumWith(concat(content, bytes(0, 0)));
  return concat(content, bytes(checksum >> 8, checksum & 0xff));
}

const field = (frame: Uint8Array, offset: number) =>
  ((frame[offset] ?? 0) << 8) | (frame[offset + 1] ?? 0);

/** Where the checksum is: in the flow's header, plain and behind a carrier, and in a carrier's. */
const checksumAt = (transport: Transport, family: Family = "ip") =>
  14 + IP_HEADER[family] + { tcp: 16, udp: 6 }[transport];
const CARRIER_LENGTH = { tcp: 20, udp: 8 } as const;

/** What a computed checksum of 0 looks like (RFC 768: in UDP, all ones). */
const ZERO = { tcp: 0, udp: 0xffff } as const;

describe("checksums that come out as 0", () => {
  const everyPair = FAMILIES.flatMap((family) => PAIRS.map((pair) => ({ ...pair, family })));
  const cases = everyPair.flatMap((pair) => {
    const { inner, over, family } = pair;
    const frames = (content: Uint8Array) => framePair(pair, {}, {}, content);
    const ownAt = checksumAt(inner, family);
    const innerAt = ownAt + CARRIER_LENGTH[over];
    return [
      {
        name: `${inner} over ${over} over ${family}: the flow's, with its addresses`,
        content: balanced((c) => field(frames(c)[0], ownAt), payload(6)),
        at: (f: [Uint8Array, Uint8Array]) => field(f[0], ownAt),
        zero: ZERO[inner],
      },
      {
        name: `${inner} over ${over} over ${family}: the flow's, behind the carrier`,
        content: balanced((c) => field(frames(c)[1], innerAt), payload(6)),
        at: (f: [Uint8Array, Uint8Array]) => field(f[1], innerAt),
        zero: ZERO[inner],
      },
    ].map((one) => ({ ...one, pair, frames: frames(one.content) }));
  });

  it.each(cases)("$name: the rows have it", ({ at, frames, zero }) => {
    expect(at(frames)).toBe(zero);
  });

  table(
    "there and back",
    cases.flatMap(({ name, pair, frames }) => thereAndBack(name, pair, ...frames)),
  );

  // With a right inner checksum the payload cancels out of the carrier's: its ports decide.
  const carriers = everyPair.map((pair) => {
    const frames = (sport: number) => framePair(pair, {}, {}, payload(10), { sport });
    const at = checksumAt(pair.over, pair.family);
    const first = field(frames(1)[1], at);
    // One more in the port is one less in the checksum.
    const sport = first === 0xffff ? 1 : first + 1;
    return { pair, sport, frames: frames(sport), at };
  });

  it.each(carriers)(
    "the carrier's, $pair.inner over $pair.over over $pair.family: the rows have it",
    (one) => {
      expect(field(one.frames[1], one.at)).toBe(ZERO[one.pair.over]);
    },
  );

  table(
    "the carrier's",
    carriers.map(({ pair: { inner, over, family }, sport, frames }) => ({
      name: `${inner} over ${over} over ${family}`,
      rules: `${inner} dport 2055 actions funnel ${over} dport 179 sport ${sport}`,
      direction: "egress",
      frame: frames[0],
      outcome: "funneled",
      out: frames[1],
      inner,
    })),
  );

  // Without an inner checksum the payload is summed, so here it can decide.
  const unchecked = FAMILIES.map((family) => {
    const frames = (content: Uint8Array) =>
      framePair({ inner: "udp", over: "udp", family }, {}, { checksum: "none" }, content);
    const at = checksumAt("udp", family);
    const content = balanced((c) => field(frames(c)[1], at), payload(6));
    return { family, at, frames: frames(content) };
  });

  it.each(unchecked)("the carrier's over a flow without one, $family: the rows have it", (one) => {
    expect(field(one.frames[1], one.at)).toBe(0xffff);
    expect(checksumsOf(one.frames[1], "udp").outer).toBe("right");
  });

  table(
    "the carrier's over a flow without one",
    unchecked.flatMap(({ family, frames }) =>
      thereAndBack(`udp over udp over ${family}`, { inner: "udp", over: "udp" }, ...frames),
    ),
  );
});

describe("an IP checksum that comes out as 0", () => {
  // One more in the id is one less in the checksum.
  const frames = PAIRS.flatMap((pair) =>
    ([0, 1] as const).map((which) => {
      const first = field(framePair(pair, { id: 0 }, {}, payload(2))[which], 24);
      return { pair, which, frames: framePair(pair, { id: first }, {}, payload(2)) };
    }),
  );

  it.each(frames)("$pair.inner over $pair.over, frame $which: the rows have it", (one) => {
    expect(field(one.frames[one.which], 24)).toBe(0);
  });

  table(
    "there and back",
    frames.flatMap(({ pair, which, frames }) =>
      thereAndBack(
        `${pair.inner} over ${pair.over}, ${which === 0 ? "plain" : "funneled"}`,
        pair,
        ...frames,
      ),
    ),
  );
});

/** NAT fixes the carrier alone; the flow's checksum is turned back with the addresses of now. */
table(
  "behind NAT",
  PAIRS.flatMap(({ inner, over }) =>
    (
      [
        ["right", payload(33)],
        ["right", payload(0)],
        ...(inner === "udp" ? ([["none", payload(8)]] as const) : []),
      ] as const satisfies readonly (readonly [Checksum, Uint8Array])[]
    ).flatMap(([checksum, content], index): Row[] => {
      // A flow of its own each: a program that remembers flows must not mix them up.
      const inside = flow(inner, { sport: 50000 + index, checksum }, content);
      return [
        { build: ipv4, to: { src: "10.1.0.77", dst: "10.2.0.1" } },
        { build: ipv6, to: { src: "fd00:1::77", dst: "fd00:2::1" } },
      ].map(({ build, to }) => ({
        name: `${inner} over ${over}, ${build.name}, checksum ${checksum}, ${content.length} bytes`,
        rules: unfunnelRule(inner, over),
        direction: "ingress",
        frame: nat(build({}, carrier(over, CARRIER, inside)), { ...to, sport: 61234 }),
        outcome: "unfunneled",
        out: build(to, inside),
        inner,
      }));
    }),
  ),
);

// ------------------------------------------------------------------------- unfinished checksums

const HEADER_LENGTH = { tcp: 20, udp: 8 } as const;
const PROTOCOL = { tcp: 6, udp: 17 } as const;

/** The rows in which a carrier goes on, by a rule and as a reply; those in which one comes off. */
const isPush = ({ outcome }: Row) => outcome === "funneled" || outcome === "reply_funneled";
const isPop = (row: Row) => !isPush(row);

/** Lengths of header and payload: around the least of each path, the sizes of its buffers, any. */
const SUMMED = [
  67, 68, 69, 70, 71, 99, 127, 128, 129, 511, 512, 513, 514, 515, 516, 1023, 1024, 1025, 1399, 1500,
  2047, 2048, 2049, 3001,
];

/**
 * A local sender leaves the sum to its device, and that of the pseudo header in the field. Nobody
 * behind a carrier would complete it, so that is done before.
 */
table(
  "a checksum that was left to the device is completed",
  PAIRS.flatMap((pair) => {
    const completed = (
      name: string,
      { transport, ...fields }: Fields,
      family: Family = "ip",
    ): Row[] => {
      const came = { ...fields, transport: { ...transport, checksum: "seed" } } as const;
      const leaves = { ...fields, transport: transport ?? {} };
      return bothWays(name, { ...pair, family }, came, leaves);
    };
    const lengths = [...LENGTHS, ...SUMMED.map((length) => length - HEADER_LENGTH[pair.inner])];
    const padded = (length: number) =>
      completed(`${length} bytes before padding`, { content: payload(length) }).map((row) => ({
        ...row,
        frame: pad(row.frame, 7, 0xee),
        out: pad(row.out ?? row.frame, 7, 0xee),
      }));
    return [
      ...FAMILIES.flatMap((family) =>
        lengths.flatMap((length) =>
          completed(`${length} bytes`, { content: payload(length) }, family),
        ),
      ),
      ...([1, 2] as const).flatMap((tags) =>
        [0, 100, 1400].flatMap((length) =>
          completed(`${length} bytes in ${tags} VLANs`, { tags, content: payload(length) }, "ip6"),
        ),
      ),
      ...[0, 5, 100, 1400].flatMap(padded),
      ...[4, 40].flatMap((options) =>
        [0, 5, 100, 1400].flatMap((length) =>
          completed(`${length} bytes behind ${options} bytes of IP options`, {
            ip: { options: payload(options) },
            content: payload(length),
          }),
        ),
      ),
      ...completed("of a packet with DF", { ip: { df: true, tos: 0xb8 }, content: payload(100) }),
      ...([1, 2] as const).flatMap((tags) =>
        [0, 5, 100, 1400].flatMap((length) =>
          completed(`${length} bytes in ${tags} VLANs`, { tags, content: payload(length) }),
        ),
      ),
      ...(pair.inner === "tcp"
        ? [0, 90].flatMap((length) =>
            completed(`${length} bytes behind TCP options`, {
              transport: { options: payload(40), flags: 0xfd },
              content: payload(length),
            }),
          )
        : []),
    ].filter(isPush);
  }),
);

/**
 * Ones' complement has two zeros, and the sum of a pseudo header may be either. Zero in UDP says
 * that there is no checksum, which it does before anything else.
 */
describe("a checksum that was left to the device, whose sum is zero", () => {
  const content = payload(60);
  const cases = PAIRS.map((pair) => {
    const length = HEADER_LENGTH[pair.inner] + content.length;
    // 192.0.2.1 to 198.51.x.y, protocol and length.
    const sum = 0xc000 + 0x0201 + 0xc633 + PROTOCOL[pair.inner] + length;
    const rest = 0xffff - (sum % 0xffff);
    return { pair, ip: { dst: `198.51.${rest >> 8}.${rest & 0xff}` } };
  });

  it.each(cases)("$pair.inner over $pair.over: the rows have it", ({ pair, ip }) => {
    const frame = plain(pair, "there", { ip, content, transport: { checksum: "seed" } });
    expect(field(frame, checksumAt(pair.inner))).toBe(0xffff);
  });

  table(
    "is completed",
    cases.flatMap(({ pair, ip }) =>
      (pair.inner === "tcp" ? [0, 0xffff] : [0xffff]).flatMap((checksum) =>
        bothWays(`${checksum}`, pair, { ip, content, transport: { checksum } }, { ip, content })
          .filter(isPush)
          // The other way the addresses change places.
          .filter(({ earlier }) => earlier === undefined),
      ),
    ),
  );

  table(
    "is none in UDP",
    cases
      .filter(({ pair }) => pair.inner === "udp")
      .flatMap(({ pair, ip }) => {
        const fields = { ip, content, transport: { checksum: 0 } };
        return bothWays("0", pair, fields, fields).filter(({ earlier }) => earlier === undefined);
      }),
  );
});

/** How wrong a checksum of the flow is behind its carrier. */
function wrongBy(pair: Pair, fields: Fields, checksum: number): number {
  const frame = carried(pair, "there", fields);
  const right = field(frame, checksumAt(pair.inner, pair.family) + CARRIER_LENGTH[pair.over]);
  return (checksum + 0xffff - right) % 0xffff;
}

/** Nobody leaves one to a device behind a carrier: it is as wrong as any other. */
table(
  "what looks like a sum for the device behind a carrier is not completed",
  FAMILIES.flatMap((family) => PAIRS.map((pair) => ({ ...pair, family }))).flatMap((pair) =>
    [0, 1, 90, 1400].flatMap((length) => {
      const content = payload(length);
      const seed = PROTOCOL[pair.inner] + HEADER_LENGTH[pair.inner] + length;
      const leaves = { transport: { checksum: { wrongBy: wrongBy(pair, { content }, seed) } } };
      const came = { content, transport: { checksum: "seed" } } as const;
      return bothWays(`${length} bytes`, pair, came, { content, ...leaves }).filter(isPop);
    }),
  ),
);

/**
 * These addresses sum to zero, as those behind a carrier do, so a wrong 0xffff stays as wrong; it
 * becomes the other zero (RFC 1624), but for UDP, where that one says "none".
 */
table(
  "a wrong checksum of 0xffff between 0.0.0.0 and 255.255.255.255",
  PAIRS.flatMap((pair) =>
    [
      { src: "0.0.0.0", dst: "255.255.255.255" },
      { src: "255.255.255.255", dst: "0.0.0.0" },
    ].flatMap((ip) => {
      const content = payload(31);
      const came = { ip, content, transport: { checksum: 0xffff } };
      const checksum = ZERO[pair.inner];
      const carrier = { checksum: { wrongBy: wrongBy(pair, { ip, content }, 0xffff) } };
      const leaves = { ip, content, transport: { checksum }, carrier };
      return bothWays(`from ${ip.src}`, pair, came, leaves).filter(
        ({ earlier }) => earlier === undefined,
      );
    }),
  ),
);

/** In keys an IPv4 address has the form of a mapped one (RFC 4291 section 2.5.5.2). */
table(
  "IPv6 between mapped addresses is none of IPv4's",
  FAMILIES.map((family): Row => {
    const pair: Pair = { inner: "udp", over: "tcp" };
    const mapped = { src: "::ffff:c000:201", dst: "::ffff:c633:6407" };
    const other = family === "ip" ? "ip6" : "ip";
    const ip = (one: Family) => (one === "ip6" ? { ip: mapped } : {});
    const back = { src: mapped.dst, dst: mapped.src };
    const left = plain({ ...pair, family: other }, "there", ip(other));
    return {
      name: `a reply of ${family} to a flow of ${other}`,
      rules: "",
      otherRules: funnelRule("udp", "tcp"),
      earlier: [{ direction: "egress", frame: left, outcome: "funneled" }],
      direction: "ingress",
      frame: carried({ ...pair, family }, "back", family === "ip6" ? { ip: back } : {}),
      outcome: "no_match",
      inner: "udp",
    };
  }),
);
