/** Connections whose ports are rewritten in place: what each segment becomes, on either side. */
import type { Family } from "../../lib/rules/types.ts";
import { FAMILIES } from "../support/both-ways.ts";
import {
  bytes,
  concat,
  contentStart,
  FLAG,
  mss,
  options,
  patch,
  payload,
  type TcpFields,
} from "../support/packet.ts";
import { type Row, table } from "../support/table.ts";
import {
  CLIENT_RULE,
  CLIENT_SEQ,
  CLIENT_SIDE,
  closed,
  confirmed,
  data,
  direct,
  established,
  type Fields,
  marked,
  markFor,
  OWN,
  own,
  RST_ACK,
  reset,
  SERVICE,
  SERVICE_RULE,
  SERVICE_SEQ,
  SERVICE_SIDE,
  SYN,
  SYN_ACK,
  syn,
  synAck,
  unconfirmed,
  WANTED,
  wire,
} from "../support/translated.ts";

type Rest = Omit<Row, "name" | "rules" | "direction">;

/** Rows of the four hooks. */
const CLIENT_OUT = { rules: CLIENT_RULE, direction: "egress" } as const;
const CLIENT_BACK = { rules: "", otherRules: CLIENT_RULE, direction: "ingress" } as const;
const SERVICE_IN = { rules: SERVICE_RULE, direction: "ingress" } as const;
const SERVICE_BACK = { rules: "", otherRules: SERVICE_RULE, direction: "egress" } as const;

const named = (row: Omit<Row, "name">, name: string): Row => ({ ...row, name });
const clientOut = (name: string, rest: Rest): Row => named({ ...CLIENT_OUT, ...rest }, name);
const clientBack = (name: string, rest: Rest): Row => named({ ...CLIENT_BACK, ...rest }, name);
const serviceIn = (name: string, rest: Rest): Row => named({ ...SERVICE_IN, ...rest }, name);
const serviceBack = (name: string, rest: Rest): Row => named({ ...SERVICE_BACK, ...rest }, name);

// ------------------------------------------------------------------- each segment, each side

/** The fields of a segment with these as well. */
const and = (fields: Fields, more: Fields): Fields => ({
  ...fields,
  ...more,
  tcp: { ...fields.tcp, ...more.tcp },
});

/** A row for each kind of segment of a connection. What is in `only` is not for all of them. */
function eachSegment(name: string, fields: Fields, only: "all" | "data" = "all"): Row[] {
  const { family = "ip" } = fields;
  const like: Fields = { family };
  const title = (what: string) => `${family}, ${what}: ${name}`;
  const there = and(data("there"), fields);
  const back = and(data("back"), fields);
  const segments = [
    clientOut(title("leaves"), {
      earlier: established(CLIENT_SIDE, like),
      frame: own("there", there),
      outcome: "funneled",
      out: wire("there", there),
    }),
    clientBack(title("comes back"), {
      earlier: established(CLIENT_SIDE, like),
      frame: wire("back", back),
      outcome: "reply_unfunneled",
      out: own("back", back),
    }),
    serviceIn(title("arrives"), {
      earlier: established(SERVICE_SIDE, like),
      frame: wire("there", there),
      outcome: "unfunneled",
      out: own("there", there),
    }),
    serviceBack(title("answers"), {
      earlier: established(SERVICE_SIDE, like),
      frame: own("back", back),
      outcome: "reply_funneled",
      out: wire("back", back),
    }),
  ];
  if (only === "data") return segments;
  return [
    ...segments,
    clientOut(title("SYN leaves"), {
      frame: syn(fields),
      outcome: "funneled",
      out: marked(fields),
    }),
    clientBack(title("SYN-ACK comes back"), {
      earlier: [CLIENT_SIDE.syn(like)],
      frame: confirmed(fields),
      outcome: "reply_unfunneled",
      out: synAck(fields),
    }),
    serviceIn(title("SYN arrives"), {
      frame: marked(fields),
      outcome: "unfunneled",
      out: syn(fields),
    }),
    serviceBack(title("SYN-ACK answers"), {
      earlier: [SERVICE_SIDE.syn(like)],
      frame: synAck(fields),
      outcome: "reply_funneled",
      out: confirmed(fields),
    }),
  ];
}

table(
  "each segment of a connection, on either side",
  FAMILIES.flatMap((family) => [
    ...eachSegment("as it is", { family }),
    ...eachSegment("in a VLAN", { family, tags: 1 }),
    ...eachSegment("in a VLAN of a provider", { family, tags: 2 }),
    ...eachSegment("padded", { family, padding: 6 }),
    ...eachSegment("with options", {
      family,
      tcp: { options: concat(mss(1460), options([4], [8, 1, 2, 3, 4, 0, 0, 0, 0], [3, 7])) },
    }),
    ...eachSegment("congestion flags", { family, padding: 6, ip: { tos: 3, trafficClass: 3 } }),
    ...eachSegment("a wrong checksum stays wrong", { family, tcp: { checksum: { wrongBy: 7 } } }),
    ...[1, 30, 31, 1400].flatMap((length) =>
      eachSegment(`${length} bytes`, { family, content: payload(length) }, "data"),
    ),
    ...eachSegment(
      "31 bytes and a wrong checksum",
      { family, content: payload(31), tcp: { checksum: { wrongBy: 0x1234 } } },
      "data",
    ),
    ...eachSegment(
      "urgent data",
      { family, content: payload(9), tcp: { flags: FLAG.ack | FLAG.urg, urgent: 5 } },
      "data",
    ),
    ...eachSegment(
      "an urgent pointer without its flag",
      { family, tcp: { flags: FLAG.ack, urgent: WANTED } },
      "data",
    ),
    ...eachSegment("FIN", { family, tcp: { flags: FLAG.fin | FLAG.ack } }, "data"),
    ...eachSegment("RST", { family, tcp: { flags: FLAG.rst, ack: 0 } }, "data"),
    ...eachSegment("no flag at all", { family, tcp: { flags: 0 } }, "data"),
  ]),
);

table("each segment of a connection, with options of IPv4", [
  ...eachSegment("no operations", { ip: { options: bytes("01010101 01010100") } }),
  ...eachSegment("the most there is room for", { ip: { options: payload(40), ttl: 1, id: 7 } }),
]);

// ------------------------------------------------------ checksums that a device is to complete

/** By how much the checksum of a frame differs from the right one. */
function errorOf(seeded: Uint8Array, right: Uint8Array, family: Family): { wrongBy: number } {
  const at = contentStart(right) + (family === "ip" ? 20 : 40) + 16;
  const field = (frame: Uint8Array) => ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);
  return { wrongBy: (field(seeded) - field(right) + 0xffff) % 0xffff };
}

// What looks like the sum of a pseudo header is a wrong checksum like any other: no sum of ports in it.
table(
  "a checksum that looks as if a device had to complete it",
  FAMILIES.flatMap((family) =>
    [0, 31].flatMap((length) => {
      const content = payload(length);
      const fields = and(data("there"), { family, content });
      const seeded = (segment: Fields): Fields => and(segment, { tcp: { checksum: "seed" } });
      const wrong = (segment: Fields, build: (fields: Fields) => Uint8Array): Fields =>
        and(segment, {
          tcp: { checksum: errorOf(build(seeded(segment)), build(segment), family) },
        });
      const leaves = (segment: Fields) => own("there", segment);
      const arrives = (segment: Fields) => wire("there", segment);
      return [
        clientOut(`${family}, ${length} bytes, leaves`, {
          earlier: established(CLIENT_SIDE, { family }),
          frame: leaves(seeded(fields)),
          outcome: "funneled",
          out: wire("there", wrong(fields, leaves)),
        }),
        serviceIn(`${family}, ${length} bytes, arrives`, {
          earlier: established(SERVICE_SIDE, { family }),
          frame: arrives(seeded(fields)),
          outcome: "unfunneled",
          out: own("there", wrong(fields, arrives)),
        }),
        ...(length === 0
          ? [
              clientOut(`${family}, SYN leaves`, {
                frame: syn(seeded({ family })),
                outcome: "funneled",
                out: marked(wrong({ family }, syn)),
              }),
              serviceIn(`${family}, SYN arrives`, {
                frame: marked(seeded({ family })),
                outcome: "unfunneled",
                out: syn(wrong({ family }, marked)),
              }),
            ]
          : []),
      ];
    }),
  ),
);

// ------------------------------------------------------------------------- the SYN of a client

const ECN = 0xc0;

table("the SYN of a client", [
  ...FAMILIES.flatMap((family) => [
    ...[1, 2, 31, 1400].map((length) =>
      clientOut(`${family}: ${length} bytes of data are cut off, and what is behind them`, {
        frame: syn({ family, content: payload(length), padding: 5 }),
        outcome: "funneled",
        out: marked({ family }),
      }),
    ),
    clientOut(`${family}: data behind options, in a VLAN, under a wrong checksum`, {
      frame: syn({
        family,
        tags: 1,
        content: payload(31),
        tcp: { options: mss(1460), checksum: { wrongBy: 99 } },
      }),
      outcome: "funneled",
      out: marked({ family, tags: 1, tcp: { options: mss(1460), checksum: { wrongBy: 99 } } }),
    }),
    clientOut(`${family}: congestion flags and PSH stay`, {
      frame: syn({ family, tcp: { flags: SYN | ECN | FLAG.psh } }),
      outcome: "funneled",
      out: marked({ family, tcp: { flags: SYN | ECN | FLAG.psh } }),
    }),
    clientOut(`${family}: the URG flag is cleared`, {
      frame: syn({ family, tcp: { flags: SYN | FLAG.urg, urgent: 17 } }),
      outcome: "funneled",
      out: marked({ family }),
    }),
    clientOut(`${family}: whatever was in the fields of the mark`, {
      frame: syn({ family, tcp: { ack: 0xdeadbeef, urgent: 0xffff } }),
      outcome: "funneled",
      out: marked({ family }),
    }),
  ]),
  clientOut("data behind IPv4 options, with a wrong checksum of the header", {
    frame: syn({ content: payload(31), ip: { options: payload(8), checksum: { wrongBy: 3 } } }),
    outcome: "funneled",
    out: marked({ ip: { options: payload(8), checksum: { wrongBy: 3 } } }),
  }),
  clientOut("a header that says it is longer than the packet", {
    frame: syn({ tcp: { dataOffset: 15 }, content: payload(20) }),
    outcome: "funneled",
    out: marked({ tcp: { dataOffset: 15 }, content: payload(20) }),
  }),
  ...[0, 4].map((dataOffset) =>
    clientOut(`a header that says it is shorter than any: ${dataOffset} words`, {
      frame: syn({ tcp: { dataOffset }, content: payload(20) }),
      outcome: "funneled",
      out: marked({ tcp: { dataOffset } }),
    }),
  ),
  clientOut("sent again", {
    earlier: [CLIENT_SIDE.syn()],
    frame: syn(),
    outcome: "funneled",
    out: marked(),
  }),
  clientOut("once more after the end of the one before", {
    earlier: closed(CLIENT_SIDE),
    frame: syn({ tcp: { seq: 7 } }),
    outcome: "funneled",
    out: marked({ tcp: { seq: 7 } }),
  }),
]);

/** Options of a SYN, as they came and as they leave. */
const withOptions = (name: string, came: Uint8Array, leaves: Uint8Array): Row =>
  clientOut(name, {
    frame: syn({ tcp: { options: came } }),
    outcome: "funneled",
    out: marked({ tcp: { options: leaves } }),
  });
const NOPS = (length: number) => new Uint8Array(length).fill(1);

table("TCP fast open is not to be hoped for", [
  withOptions("asked for a cookie", options([34]), NOPS(4)),
  withOptions("a cookie", options([34, 1, 2, 3, 4, 5, 6, 7, 8]), NOPS(12)),
  withOptions(
    "a cookie at an odd place",
    concat(bytes(1), options([34, 1, 2, 3, 4, 5, 6, 7, 8]).subarray(0, 11)),
    NOPS(12),
  ),
  withOptions(
    "between others",
    options([2, 5, 180], [34, 9, 8, 7, 6], [4]),
    concat(mss(0x05b4), NOPS(6), bytes(4, 2)),
  ),
  withOptions("twice", options([34, 1, 2], [34, 3, 4]), NOPS(8)),
  withOptions("as an experiment", options([254, 0xf9, 0x89, 1, 2, 3, 4]), NOPS(8)),
  withOptions("as the other experiment", options([253, 0xf9, 0x89]), NOPS(4)),
  withOptions("another experiment", options([254, 0xf9, 0x88]), options([254, 0xf9, 0x88])),
  withOptions("an experiment of hardly a byte", options([254, 0xf9]), options([254, 0xf9])),
  withOptions("behind the end of options", bytes("00 2202 01"), bytes("00 2202 01")),
  withOptions("behind a length of zero", bytes("0300 2202"), bytes("0300 2202")),
  withOptions("behind a length of one", bytes("0301 2202"), bytes("0301 2202")),
  withOptions("longer than the header", bytes("2205 0101"), bytes("2205 0101")),
  withOptions("without a length", bytes("010101 22"), bytes("010101 22")),
  withOptions("before what is malformed", bytes("2202 0300"), bytes("0101 0300")),
  clientOut("with its data", {
    frame: syn({ tcp: { options: options([34, 1, 2, 3, 4]) }, content: payload(501) }),
    outcome: "funneled",
    out: marked({ tcp: { options: NOPS(8) } }),
  }),
]);

table("signed segments keep their ports", [
  ...(
    [
      ["TCP-MD5", 19, 16],
      ["TCP-AO", 29, 14],
    ] as const
  ).flatMap(([name, kind, length]) => {
    const signed: Fields = { tcp: { options: options([kind, ...payload(length)]) } };
    return [
      clientOut(`${name}: a SYN`, { frame: syn(signed), outcome: "translate_signed" }),
      clientOut(`${name}: a SYN behind other options`, {
        frame: syn({ tcp: { options: options([2, 5, 180], [kind, ...payload(length)]) } }),
        outcome: "translate_signed",
      }),
      clientOut(`${name}: any segment of a connection that is not known`, {
        frame: own("there", and(data("there"), { ...signed, content: payload(3) })),
        outcome: "translate_signed",
      }),
      clientOut(`${name}: a SYN-ACK is of a connection that began on the other side`, {
        frame: own("there", and(signed, { tcp: { flags: SYN_ACK } })),
        outcome: "translate_inbound",
      }),
      clientOut(`${name}: a segment of a connection that was not signed when it began`, {
        earlier: established(CLIENT_SIDE),
        frame: own("there", and(data("there"), signed)),
        outcome: "funneled",
        out: wire("there", and(data("there"), signed)),
      }),
      clientOut(`${name}: a SYN ends what was known`, {
        earlier: [
          ...established(CLIENT_SIDE),
          { direction: "egress", frame: syn(signed), outcome: "translate_signed" },
        ],
        frame: own("there", { tcp: { flags: FLAG.rst } }),
        outcome: "translate_lost",
      }),
      clientOut(`${name}: only where its option is well-formed`, {
        frame: syn({ tcp: { options: bytes(kind, 5, 0, 0) } }),
        outcome: "funneled",
        out: marked({ tcp: { options: bytes(kind, 5, 0, 0) } }),
      }),
    ];
  }),
]);

// ------------------------------------------------------------------------- the confirmation

/** To a port of which every common SYN-ACK would be a confirmation. */
const CLIENT_SIDE_OF_ZERO = CLIENT_SIDE.syn({ tcp: { dport: 0 } });

table("a SYN-ACK that confirms nothing becomes a reset", [
  ...FAMILIES.flatMap((family) => {
    const row = (name: string, tcp: TcpFields, more: Fields = {}): Row => {
      const came: Fields = { family, ...more, tcp };
      const flags = RST_ACK;
      return clientBack(`${family}: ${name}`, {
        earlier: [CLIENT_SIDE.syn({ family })],
        frame: unconfirmed(came),
        outcome: "translate_unconfirmed",
        out: synAck({ ...came, tcp: { ...tcp, flags, urgent: 0 } }),
      });
    };
    return [
      row("of a service without sfunnel", {}),
      row("with options", { options: mss(1460) }),
      row("with data", {}, { content: payload(31) }),
      row("in a VLAN", {}, { tags: 2 }),
      row("with a wrong checksum", { checksum: { wrongBy: 7 } }),
      row("of another port", { urgent: WANTED ^ 1 }),
      row("of the service port", { urgent: SERVICE }),
      row("under the URG flag", { flags: SYN_ACK | FLAG.urg, urgent: WANTED }),
      row("that is a reset besides", { flags: SYN_ACK | FLAG.rst, urgent: WANTED }),
      row("that ends besides", { flags: SYN_ACK | FLAG.fin, urgent: WANTED }),
      row("that is a SYN of its own", { flags: SYN, urgent: WANTED }),
      row("that is a SYN and a reset", { flags: SYN | FLAG.rst, urgent: WANTED }),
    ];
  }),
  clientBack("in the middle of a connection too", {
    earlier: established(CLIENT_SIDE),
    frame: unconfirmed(),
    outcome: "translate_unconfirmed",
    out: synAck({ tcp: { flags: RST_ACK } }),
  }),
  clientBack("but one with congestion flags is as good as any", {
    earlier: [CLIENT_SIDE.syn()],
    frame: confirmed({ tcp: { flags: SYN_ACK | ECN } }),
    outcome: "reply_unfunneled",
    out: synAck({ tcp: { flags: SYN_ACK | ECN } }),
  }),
  clientBack("sent again, it is still right", {
    earlier: established(CLIENT_SIDE),
    frame: confirmed(),
    outcome: "reply_unfunneled",
    out: synAck(),
  }),
  clientOut("what the client sends then is lost", {
    earlier: [
      CLIENT_SIDE.syn(),
      { direction: "ingress", frame: unconfirmed(), outcome: "translate_unconfirmed" },
    ],
    frame: own("there", and(data("there"), { content: payload(5) })),
    outcome: "translate_lost",
    out: reset(own, {}, { seq: 0x0a0b0c0d, flags: FLAG.rst }),
  }),
  clientOut("but not where it was confirmed before: anybody could have sent that", {
    earlier: [
      ...established(CLIENT_SIDE),
      { direction: "ingress", frame: unconfirmed(), outcome: "translate_unconfirmed" },
    ],
    frame: own("there", and(data("there"), { content: payload(5) })),
    outcome: "funneled",
    out: wire("there", and(data("there"), { content: payload(5) })),
  }),
  clientBack("port 0 cannot be confirmed", {
    otherRules: "tcp actions funnel translate tcp dport 80",
    earlier: [CLIENT_SIDE_OF_ZERO],
    frame: unconfirmed(),
    outcome: "translate_unconfirmed",
    out: synAck({ tcp: { sport: 0, flags: RST_ACK } }),
  }),
  clientOut("a client that tries again begins anew", {
    earlier: [
      CLIENT_SIDE.syn(),
      { direction: "ingress", frame: unconfirmed(), outcome: "translate_unconfirmed" },
    ],
    frame: syn(),
    outcome: "funneled",
    out: marked(),
  }),
]);

table("an answer confirms, unless its urgent pointer is in use", [
  serviceBack("the URG flag", {
    earlier: [SERVICE_SIDE.syn()],
    frame: synAck({ tcp: { flags: SYN_ACK | FLAG.urg, urgent: 3 } }),
    outcome: "reply_funneled",
    out: unconfirmed({ tcp: { flags: SYN_ACK | FLAG.urg, urgent: 3 } }),
  }),
  serviceBack("a reset", {
    earlier: [SERVICE_SIDE.syn()],
    frame: own("back", { tcp: { flags: RST_ACK, seq: 0, ack: CLIENT_SEQ + 1 } }),
    outcome: "reply_funneled",
    out: wire("back", { tcp: { flags: RST_ACK, seq: 0, ack: CLIENT_SEQ + 1 } }),
  }),
  serviceBack("a SYN of its own", {
    earlier: [SERVICE_SIDE.syn()],
    frame: synAck({ tcp: { flags: SYN } }),
    outcome: "reply_funneled",
    out: unconfirmed({ tcp: { flags: SYN } }),
  }),
  serviceBack("whatever was in the pointer", {
    earlier: [SERVICE_SIDE.syn()],
    frame: synAck({ tcp: { urgent: 0xbeef } }),
    outcome: "reply_funneled",
    out: confirmed(),
  }),
]);

// ------------------------------------------------------------------------------- marks

table("a mark is right in all of it, or none", [
  ...(
    [
      ["another upper half", { ack: 0x5f0f0000 + WANTED }],
      ["nothing in the upper half", { ack: WANTED }],
      ["no complement", { urgent: WANTED }],
      ["the complement of another port", { urgent: 0xffff ^ (WANTED + 1) }],
      ["no urgent pointer", { urgent: 0 }],
      ["the URG flag", { flags: SYN | FLAG.urg }],
    ] as const
  ).map(([name, fields]) =>
    serviceIn(`${name}: a real connection`, {
      frame: marked({ tcp: fields }),
      outcome: "not_carrier",
    }),
  ),
  ...[SYN_ACK, SYN | FLAG.fin, SYN | FLAG.rst, FLAG.ack, 0].map((flags) =>
    serviceIn(`flags ${flags}: a real connection`, {
      frame: marked({ tcp: { flags } }),
      outcome: "not_carrier",
    }),
  ),
  ...[ECN, FLAG.psh].map((flags) =>
    serviceIn(`flags ${flags} besides: a mark`, {
      frame: marked({ tcp: { flags: SYN | flags } }),
      outcome: "unfunneled",
      out: syn({ tcp: { flags: SYN | flags } }),
    }),
  ),
  serviceIn("data and TCP fast open behind it stay", {
    frame: marked({ content: payload(31), tcp: { options: options([34, 1, 2]) } }),
    outcome: "unfunneled",
    out: syn({ content: payload(31), tcp: { options: options([34, 1, 2]) } }),
  }),
  serviceIn("sent again", {
    earlier: [SERVICE_SIDE.syn()],
    frame: marked(),
    outcome: "unfunneled",
    out: syn(),
  }),
  serviceIn("another connection after the end of the one before", {
    earlier: closed(SERVICE_SIDE),
    frame: marked({ tcp: { seq: 7 } }),
    outcome: "unfunneled",
    out: syn({ tcp: { seq: 7 } }),
  }),
  { ...serviceIn("no rule", { frame: marked(), outcome: "no_match" }), rules: "" },
]);

// ------------------------------------------------------------------------------- resets

table(
  "what a rule does not allow is answered with a reset",
  FAMILIES.flatMap((family) => {
    const forbidden = (fields: Fields): Fields => ({
      ...fields,
      family,
      tcp: { ...markFor(22), ...fields.tcp },
    });
    const row = (name: string, fields: Fields, length: number): Row =>
      serviceIn(`${family}: ${name}`, {
        frame: marked(forbidden(fields)),
        outcome: "translate_not_allowed",
        out: reset(wire, { ...fields, family }, { ack: CLIENT_SEQ + length }),
      });
    return [
      row("a SYN", {}, 1),
      row("with data", { content: payload(31) }, 32),
      row("with options and padding", { padding: 6, tcp: { options: mss(1400) } }, 1),
      row("in a VLAN", { tags: 1 }, 1),
      row("in two", { tags: 2 }, 1),
      row("of a class", { ip: { tos: 0xb8, trafficClass: 0xb8, flowLabel: 0xabcde } }, 1),
      row("at its last hop", { ip: { ttl: 1, hopLimit: 1 } }, 1),
      row("of a wrong checksum", { tcp: { checksum: { wrongBy: 7 } } }, 1),
      row("that must not be taken to pieces", { ip: { df: true } }, 1),
      serviceIn(`${family}: sequence numbers go round`, {
        frame: marked(forbidden({ tcp: { seq: 0xffffffff }, content: payload(1) })),
        outcome: "translate_not_allowed",
        out: reset(wire, { family }, { ack: 1 }),
      }),
      serviceIn(`${family}: a port that a live connection does not change`, {
        earlier: established(SERVICE_SIDE, { family }),
        frame: marked(forbidden({})),
        outcome: "translate_not_allowed",
        out: reset(wire, { family }, { ack: CLIENT_SEQ + 1 }),
      }),
    ];
  }),
);

table("segments of no known connection, where a rule would funnel it", [
  ...FAMILIES.flatMap((family) => {
    const row = (name: string, fields: Fields, tcp: TcpFields): Row =>
      clientOut(`${family}: ${name}`, {
        frame: own("there", { ...fields, family }),
        outcome: "translate_lost",
        out: reset(own, { ...fields, family }, tcp),
      });
    const answered = (ack: number): TcpFields => ({ flags: FLAG.rst, seq: ack, ack: 0 });
    return [
      row("data", and(data("there"), { content: payload(31) }), answered(0x0a0b0c0d)),
      row("an acknowledgment", { tcp: { ack: 0xfffffffe } }, answered(0xfffffffe)),
      row("FIN", { tcp: { flags: FLAG.fin | FLAG.ack, ack: 5 } }, answered(5)),
      row(
        "in a VLAN, of a class",
        { tags: 1, ip: { tos: 4, trafficClass: 4 } },
        answered(0x0a0b0c0d),
      ),
      row("FIN alone", { tcp: { flags: FLAG.fin }, content: payload(2) }, { ack: CLIENT_SEQ + 3 }),
      row("no flag", { tcp: { flags: 0 }, content: payload(31) }, { ack: CLIENT_SEQ + 31 }),
      row("SYN and FIN", { tcp: { flags: SYN | FLAG.fin } }, { ack: CLIENT_SEQ + 2 }),
      row("a long header", { tcp: { flags: 0, dataOffset: 15 } }, { ack: CLIENT_SEQ }),
      row("a short header", { tcp: { flags: 0, dataOffset: 4 } }, { ack: CLIENT_SEQ }),
      ...[FLAG.rst, RST_ACK, FLAG.rst | FLAG.fin, SYN | FLAG.rst].map((flags) =>
        clientOut(`${family}: a reset is not answered, flags ${flags}`, {
          frame: own("there", { family, tcp: { flags }, padding: 3 }),
          outcome: "translate_lost",
        }),
      ),
    ];
  }),
  clientOut("with options of IPv4, nobody is answered", {
    frame: own("there", { ip: { options: bytes("01010100") } }),
    outcome: "translate_lost",
  }),
  {
    ...serviceIn("with options of IPv4, nor where the port is not allowed", {
      frame: marked({ ip: { options: bytes("01010100") }, tcp: markFor(22) }),
      outcome: "translate_not_allowed",
    }),
  },
  clientOut("the connection's own reset makes it unknown before its handshake is done", {
    earlier: [CLIENT_SIDE.syn(), CLIENT_SIDE.back({ tcp: { flags: RST_ACK } })],
    frame: own("there", { tcp: { ack: 9 } }),
    outcome: "translate_lost",
    out: reset(own, {}, { flags: FLAG.rst, seq: 9 }),
  }),
  clientOut("and after it does not", {
    earlier: [...established(CLIENT_SIDE), CLIENT_SIDE.back({ tcp: { flags: RST_ACK } })],
    frame: own("there", data("there")),
    outcome: "funneled",
    out: wire("there", data("there")),
  }),
]);

// ------------------------------------------------------------- connections of the other side

table("connections that began on the other side go on as they are", [
  clientOut("their SYN-ACK", {
    frame: own("there", { tcp: { flags: SYN_ACK } }),
    outcome: "translate_inbound",
  }),
  clientOut("and what comes after it", {
    earlier: [
      {
        direction: "egress",
        frame: own("there", { tcp: { flags: SYN_ACK } }),
        outcome: "translate_inbound",
      },
    ],
    frame: own("there", { content: payload(40) }),
    outcome: "translate_inbound",
  }),
  clientOut("a reset too", {
    earlier: [
      {
        direction: "egress",
        frame: own("there", { tcp: { flags: SYN_ACK } }),
        outcome: "translate_inbound",
      },
    ],
    frame: own("there", { tcp: { flags: FLAG.rst } }),
    outcome: "translate_inbound",
  }),
  clientBack("the other side's segments", {
    earlier: [
      {
        direction: "egress",
        frame: own("there", { tcp: { flags: SYN_ACK } }),
        outcome: "translate_inbound",
      },
    ],
    frame: own("back", { content: payload(40) }),
    outcome: "no_match",
  }),
  clientOut("a SYN from the same port begins anew", {
    earlier: [
      {
        direction: "egress",
        frame: own("there", { tcp: { flags: SYN_ACK } }),
        outcome: "translate_inbound",
      },
    ],
    frame: syn(),
    outcome: "funneled",
    out: marked(),
  }),
]);

// ------------------------------------------------------------------------------- challenges

table("a SYN on the ports of a connection that may be alive asks that", [
  ...FAMILIES.flatMap((family) => {
    const asks = (came: Fields): Fields => ({
      ...came,
      family,
      tcp: { seq: CLIENT_SEQ, ...came.tcp, flags: FLAG.ack, ack: 0, urgent: 0 },
    });
    const row = (name: string, came: Fields, isMarked: boolean): Row =>
      serviceIn(`${family}: ${name}`, {
        earlier: established(SERVICE_SIDE, { family }),
        frame: (isMarked ? marked : direct)({ ...came, family }),
        outcome: "translate_challenged",
        out: own("there", asks(came)),
      });
    return [
      row("a real one to the service port", {}, false),
      row("with another sequence number", { tcp: { seq: 7 } }, false),
      row("with all flags that may be", { tcp: { flags: SYN | ECN | FLAG.psh | FLAG.urg } }, false),
      row("with data and padding", { content: payload(31), padding: 4 }, false),
      row("with options, in a VLAN", { tags: 1, tcp: { options: mss(1460) } }, false),
      row("with a wrong checksum", { tcp: { checksum: { wrongBy: 7 } } }, false),
      row("a funneled one to another port", { tcp: markFor(9090) }, true),
    ];
  }),
  serviceIn("which stays as it was", {
    earlier: [
      ...established(SERVICE_SIDE),
      { direction: "ingress", frame: direct(), outcome: "translate_challenged" },
    ],
    frame: wire("there", data("there")),
    outcome: "unfunneled",
    out: own("there", data("there")),
  }),
  serviceIn("not before its handshake is done: the real one wins", {
    earlier: [SERVICE_SIDE.syn(), SERVICE_SIDE.synAck()],
    frame: direct(),
    outcome: "not_carrier",
  }),
  ...(
    [
      ["an acknowledgment of something else", { ack: SERVICE_SEQ }],
      ["one of more than a window", { ack: SERVICE_SEQ + 1 + 0x10000 }],
      ["data without an acknowledgment", { flags: FLAG.psh, ack: SERVICE_SEQ + 1 }],
    ] as const
  ).map(([name, tcp]) =>
    serviceIn(`which ${name} does not do`, {
      earlier: [SERVICE_SIDE.syn(), SERVICE_SIDE.synAck(), SERVICE_SIDE.there({ tcp })],
      frame: direct(),
      outcome: "not_carrier",
    }),
  ),
  serviceIn("while one of a whole window does", {
    earlier: [
      SERVICE_SIDE.syn(),
      SERVICE_SIDE.synAck(),
      SERVICE_SIDE.there({ tcp: { ack: SERVICE_SEQ + 1 + 0xffff } }),
    ],
    frame: direct(),
    outcome: "translate_challenged",
    out: own("there", { tcp: { flags: FLAG.ack, ack: 0 } }),
  }),
  ...[0xffffffff, 0xfffffffe, 0xfffffff0, 0x7fffffff, 0].map((seq) =>
    serviceIn(`whatever the answer's sequence number: ${seq}`, {
      earlier: [
        SERVICE_SIDE.syn(),
        SERVICE_SIDE.synAck({ tcp: { seq } }),
        SERVICE_SIDE.there({ tcp: { ack: (seq + 2) >>> 0 } }),
        SERVICE_SIDE.back({ tcp: { seq } }),
      ],
      frame: direct(),
      outcome: "translate_challenged",
      out: own("there", { tcp: { flags: FLAG.ack, ack: 0 } }),
    }),
  ),
  serviceIn("nor then another funneled one", {
    earlier: [SERVICE_SIDE.syn(), SERVICE_SIDE.synAck()],
    frame: marked({ tcp: markFor(9090) }),
    outcome: "unfunneled",
    out: syn({ tcp: { dport: 9090 } }),
  }),
  serviceIn("not after both have ended", {
    earlier: closed(SERVICE_SIDE),
    frame: direct(),
    outcome: "not_carrier",
  }),
  serviceIn("nor a funneled one after both have ended", {
    earlier: closed(SERVICE_SIDE),
    frame: marked({ tcp: markFor(9090) }),
    outcome: "unfunneled",
    out: syn({ tcp: { dport: 9090 } }),
  }),
  serviceIn("after one has ended it may be alive", {
    earlier: [
      ...established(SERVICE_SIDE),
      SERVICE_SIDE.back({ tcp: { flags: FLAG.fin | FLAG.ack } }),
    ],
    frame: direct(),
    outcome: "translate_challenged",
    out: own("there", { tcp: { flags: FLAG.ack, ack: 0 } }),
  }),
  serviceIn("not after a reset of the pod", {
    earlier: [...established(SERVICE_SIDE), SERVICE_SIDE.back({ tcp: { flags: FLAG.rst } })],
    frame: direct(),
    outcome: "not_carrier",
  }),
  serviceIn("nor where the client went on after that", {
    earlier: [
      ...established(SERVICE_SIDE),
      SERVICE_SIDE.back({ tcp: { flags: FLAG.rst } }),
      SERVICE_SIDE.there(),
    ],
    frame: direct(),
    outcome: "not_carrier",
  }),
  serviceIn("unless the pod went on after that", {
    earlier: [
      ...established(SERVICE_SIDE),
      SERVICE_SIDE.back({ tcp: { flags: FLAG.rst } }),
      SERVICE_SIDE.back(),
    ],
    frame: direct(),
    outcome: "translate_challenged",
    out: own("there", { tcp: { flags: FLAG.ack, ack: 0 } }),
  }),
  serviceIn("after a reset of its client, which anybody may have sent", {
    earlier: [...established(SERVICE_SIDE), SERVICE_SIDE.there({ tcp: { flags: FLAG.rst } })],
    frame: direct(),
    outcome: "translate_challenged",
    out: own("there", { tcp: { flags: FLAG.ack, ack: 0 } }),
  }),
  serviceIn("and a mark of another port after that", {
    earlier: [...established(SERVICE_SIDE), SERVICE_SIDE.there({ tcp: { flags: FLAG.rst } })],
    frame: marked({ tcp: markFor(9090) }),
    outcome: "translate_challenged",
    out: own("there", { tcp: { flags: FLAG.ack, ack: 0 } }),
  }),
  serviceIn("while one of the same port may be the client's, who begins anew", {
    earlier: [...established(SERVICE_SIDE), SERVICE_SIDE.there({ tcp: { flags: FLAG.rst } })],
    frame: marked(),
    outcome: "unfunneled",
    out: syn(),
  }),
  serviceIn("a SYN with ACK is no beginning, and belongs to the connection", {
    earlier: established(SERVICE_SIDE),
    frame: wire("there", { tcp: { flags: SYN_ACK } }),
    outcome: "unfunneled",
    out: own("there", { tcp: { flags: SYN_ACK } }),
  }),
]);

// What is not TCP, or in a carrier, is no matter of any of this.
table("nothing else is touched", [
  clientOut("a packet from another port of the client, back", {
    earlier: established(CLIENT_SIDE),
    frame: own("there", { tcp: { flags: FLAG.ack, sport: OWN + 1, ack: 3 } }),
    outcome: "translate_lost",
    out: reset(own, {}, { flags: FLAG.rst, seq: 3, dport: OWN + 1 }),
  }),
  clientBack("a segment of the service to another port", {
    earlier: established(CLIENT_SIDE),
    frame: wire("back", { tcp: { dport: OWN + 1 } }),
    outcome: "no_match",
  }),
  clientBack("a segment of the same ports from another host", {
    earlier: established(CLIENT_SIDE),
    frame: wire("back", { ip: { src: "198.51.100.8" } }),
    outcome: "no_match",
  }),
  {
    ...clientOut("a segment that comes back by the hook by which it left", {
      earlier: established(CLIENT_SIDE),
      frame: wire("back"),
      outcome: "no_match",
    }),
  },
  clientOut("a fragment", {
    earlier: established(CLIENT_SIDE),
    frame: own("there", { ip: { mf: true } }),
    outcome: "fragment",
    rule: undefined,
  }),
  serviceIn("a frame cut short", {
    earlier: established(SERVICE_SIDE),
    frame: patch(wire("there"), 16, 0, 39),
    outcome: "malformed",
    rule: undefined,
  }),
]);
