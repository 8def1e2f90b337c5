/** The MSS of connections that travel in carriers leaves room for them. */
import {
  bothWays,
  FAMILIES,
  type Fields,
  IP_HEADER,
  type Pair,
  SIZE,
  SYN,
  SYN_ACK,
} from "../support/both-ways.ts";
import { bytes, type Checksum, concat, FLAG, mss, payload } from "../support/packet.ts";
import { type Row, table } from "../support/table.ts";

const PAIRS: readonly Pair[] = (["tcp", "udp"] as const).flatMap((over) =>
  FAMILIES.map((family): Pair => ({ inner: "tcp", over, family })),
);
const MTU = 1500;
/** What is left of it by IP header, TCP header and carrier. No packet in a carrier has more than 16000 bytes. */
const largest = ({ over, family = "ip" }: Pair, mtu = MTU) =>
  Math.min(mtu, 16_000) - IP_HEADER[family] - 20 - SIZE[over];

const NOTHING = bytes(1);
const END = bytes(0);
const SACK_PERMITTED = bytes(4, 2);
const TIMESTAMPS = concat(bytes(8, 10), payload(8));
const WINDOW_SCALE = bytes(3, 3, 7);

/** Options padded with what means nothing, as hosts do. */
function padded(...options: readonly Uint8Array[]): Uint8Array {
  const all = concat(...options);
  return concat(all, new Uint8Array(-all.length & 3).fill(1));
}

interface Case {
  readonly name: string;
  /** The option bytes for a size; the size that came, and the one that leaves. */
  readonly options: (size: Uint8Array) => Uint8Array;
  readonly came: number;
  readonly leaves: number;
  readonly flags?: number;
  readonly checksum?: Checksum;
  readonly content?: Uint8Array;
  readonly tags?: Fields["tags"];
}

function rows(pair: Pair, one: Case, mtu = MTU): Row[] {
  const { name, options, came, leaves, flags = SYN, checksum, content, tags = 0 } = one;
  const fields = (size: number): Fields => ({
    tags,
    transport: {
      flags,
      options: options(mss(size)),
      ...(checksum === undefined ? {} : { checksum }),
    },
    // The carrier's is made from that of the flow, so it is as wrong.
    ...(checksum === undefined ? {} : { carrier: { checksum } }),
    ...(content === undefined ? {} : { content }),
  });
  return bothWays(name, pair, fields(came), fields(leaves), { mtu });
}

const clamped = (pair: Pair, mtu = MTU) => ({ came: 1460, leaves: largest(pair, mtu) });
const alone = (size: Uint8Array) => size;

table(
  "the MSS of a SYN",
  PAIRS.flatMap((pair) => {
    const limit = largest(pair);
    return [
      ...rows(pair, { name: "is lowered to what fits", options: alone, ...clamped(pair) }),
      ...rows(pair, {
        name: "is lowered in a SYN-ACK",
        options: alone,
        ...clamped(pair),
        flags: SYN_ACK,
      }),
      ...rows(pair, {
        name: "is lowered with ECN asked for",
        options: alone,
        ...clamped(pair),
        flags: SYN | 0xc0,
      }),
      ...rows(pair, { name: "is lowered by one", options: alone, came: limit + 1, leaves: limit }),
      ...rows(pair, {
        name: "is lowered from the highest",
        options: alone,
        came: 65535,
        leaves: limit,
      }),
      ...rows(pair, {
        name: "is left where it just fits",
        options: alone,
        came: limit,
        leaves: limit,
      }),
      ...rows(pair, { name: "is never raised", options: alone, came: 536, leaves: 536 }),
      ...rows(pair, { name: "is left at nothing", options: alone, came: 0, leaves: 0 }),
      ...([1, 2] as const).flatMap((tags) =>
        rows(pair, { name: `is lowered in ${tags} VLANs`, options: alone, ...clamped(pair), tags }),
      ),
      ...rows(pair, {
        name: "is lowered beside data",
        options: alone,
        ...clamped(pair),
        content: payload(33),
      }),
      ...[1, 0x0100, 0x7fff].flatMap((wrongBy) =>
        rows(pair, {
          name: `is lowered, and a checksum that is wrong by ${wrongBy} stays so`,
          options: alone,
          ...clamped(pair),
          checksum: { wrongBy },
        }),
      ),
    ];
  }),
);

table(
  "the MSS of a SYN is that of the interface",
  PAIRS.flatMap((pair) =>
    [
      [16_001, 65535],
      [16_000, 65535],
      [15_999, 65535],
      [9000, 65535],
      [1280, 1460],
      // A SYN itself has no room in IPv6.
      ...(pair.family === "ip6"
        ? []
        : [
            [576, 1460],
            [69, 536],
            [68, 536],
          ]),
    ].flatMap(([mtu = 0, came = 0]) =>
      rows(pair, { name: `MTU ${mtu}`, options: alone, came, leaves: largest(pair, mtu) }, mtu),
    ),
  ),
);

/** Wherever it is: sums are of aligned words, options are not aligned. */
table(
  "the MSS is found",
  PAIRS.flatMap((pair) => {
    const at = [1, 2, 3, 4, 5, 18, 35, 36].map(
      (offset): Case => ({
        name: `behind ${offset} bytes of nothing`,
        options: (size) => padded(new Uint8Array(offset).fill(1), size),
        ...clamped(pair),
      }),
    );
    return [
      ...at,
      {
        name: "among those that Linux sends",
        options: (size: Uint8Array) =>
          padded(size, SACK_PERMITTED, TIMESTAMPS, NOTHING, WINDOW_SCALE),
        ...clamped(pair),
      },
      {
        name: "behind them",
        options: (size: Uint8Array) => padded(SACK_PERMITTED, TIMESTAMPS, WINDOW_SCALE, size),
        ...clamped(pair),
      },
      {
        name: "behind one of an unknown kind",
        options: (size: Uint8Array) => padded(bytes(254, 5, 1, 2, 3), size),
        ...clamped(pair),
      },
      {
        name: "behind one of its kind and another length",
        options: (size: Uint8Array) =>
          padded(bytes(2, 3, 9), bytes(2, 2), bytes(2, 6, 9, 9, 9, 9), size),
        ...clamped(pair),
      },
      {
        name: "before an end",
        options: (size: Uint8Array) => padded(size, END, bytes(2, 4)),
        ...clamped(pair),
      },
      {
        name: "once, though it comes twice",
        options: (size: Uint8Array) => padded(size, mss(1461)),
        ...clamped(pair),
      },
      {
        name: "once, though the second alone is too large",
        options: (size: Uint8Array) => padded(mss(536), size),
        came: 1460,
        leaves: 1460,
      },
    ].flatMap((one) => rows(pair, one));
  }),
);

/** What looks like one and is none. */
table(
  "no MSS",
  PAIRS.flatMap((pair) => {
    const none: readonly [string, Fields][] = [
      ["no options", {}],
      ["options without it", { transport: { options: padded(SACK_PERMITTED, TIMESTAMPS) } }],
      ["behind an end", { transport: { options: padded(END, mss(1460)) } }],
      ["behind a length of 0", { transport: { options: padded(bytes(254, 0), mss(1460)) } }],
      ["behind a length of 1", { transport: { options: padded(bytes(254, 1), mss(1460)) } }],
      ["within another", { transport: { options: padded(bytes(254, 6), mss(1460)) } }],
      [
        "within one that is longer than the header",
        { transport: { options: bytes(254, 9, 2, 4, 5, 180, 1, 1) } },
      ],
      [
        "cut off at its length",
        { transport: { options: bytes(1, 1, 1, 2) }, content: bytes(4, 5, 180) },
      ],
      [
        "cut off at its size",
        { transport: { options: bytes(1, 1, 2, 4) }, content: bytes(5, 180) },
      ],
      [
        "cut off within its size",
        { transport: { options: bytes(1, 2, 4, 5) }, content: bytes(180) },
      ],
      ["too short", { transport: { options: bytes(2, 3, 255, 1) } }],
      ["too long", { transport: { options: padded(bytes(2, 5, 5, 180, 0)) } }],
      ["in the payload", { content: mss(1460) }],
    ];
    return none.flatMap(([name, { transport, ...rest }]) => {
      const fields = { transport: { ...transport, flags: SYN }, ...rest };
      return bothWays(name, pair, fields, fields, { mtu: MTU });
    });
  }),
);

table(
  "the MSS of what is no SYN is left",
  PAIRS.flatMap((pair) =>
    [0, FLAG.ack, FLAG.ack | FLAG.psh, FLAG.rst, FLAG.rst | FLAG.ack, FLAG.fin | FLAG.ack].flatMap(
      (flags) =>
        rows(pair, { name: `flags ${flags}`, options: alone, came: 1460, leaves: 1460, flags }),
    ),
  ),
);

/** Bytes that would be a SYN with an MSS if this were TCP. */
const LIKE_SYN = concat(bytes(0, 0, 0, 0, 0x60, 0x02, 0, 0, 0, 0, 0, 0), mss(1460));

table(
  "UDP has no MSS",
  (["tcp", "udp"] as const).flatMap((over) => {
    const fields = { content: LIKE_SYN };
    return bothWays("the bytes of one", { inner: "udp", over }, fields, fields, { mtu: MTU });
  }),
);

/** Loopback's is 65536, more than packets in carriers ever have. */
table(
  "without an MTU of its own it is the most that goes in a carrier",
  PAIRS.flatMap((pair) => {
    const fields = (size: number): Fields => ({ transport: { flags: SYN, options: mss(size) } });
    const limit = largest(pair, 65_536);
    return [
      ...bothWays("the largest", pair, fields(65535), fields(limit)),
      ...bothWays("one too large", pair, fields(limit + 1), fields(limit)),
      ...bothWays("the largest that fits", pair, fields(limit), fields(limit)),
    ];
  }),
);
