/**
 * What is too big for its carrier is reported to its sender, and errors about packets in carriers
 * become errors about the packets, and the other way round.
 */
import { describe, expect, it } from "vitest";
import { Simulator } from "../../lib/model/index.ts";
import { parseRules } from "../../lib/rules/index.ts";
import type { Direction } from "../../lib/rules/types.ts";
import {
  arrived,
  CARRIER_PORT,
  CLIENT,
  carried,
  type Fields,
  funnelRule,
  left,
  type Pair,
  POD,
  plain,
  SIZE,
  unfunnelRule,
  type Way,
} from "../support/both-ways.ts";
import { PAIRS } from "../support/flows.ts";
import {
  bytes,
  FLAG,
  ICMP,
  type Ipv4Fields,
  icmp,
  icmpError,
  ipv4,
  type Layer,
  pad,
  patch,
  payload,
  quote,
  raw,
} from "../support/packet.ts";
import { type Earlier, type Row, table } from "../support/table.ts";

const MTU = 1500;
const HEADER = { tcp: 20, udp: 8 } as const;
const word = (frame: Uint8Array, at: number) => ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);

// -------------------------------------------------------------------------- what is too big

/** A payload that makes a packet so long with its carrier. */
const filling = ({ inner, over }: Pair, length: number) =>
  payload(length - 20 - HEADER[inner] - SIZE[over]);

/** What an error of ours quotes behind the IP header: no less, or there is no error. */
const QUOTED = 64;
/** No link has less, so nobody is told to send less. */
const LOWEST_MTU = 68;

/** The error that a packet gets at egress. */
function report(pair: Pair, way: Way, frame: Uint8Array, mtu: number, ip: Ipv4Fields): Uint8Array {
  const back = way === "there" ? { src: POD, dst: CLIENT } : { src: CLIENT, dst: POD };
  return ipv4(
    { srcMac: "02:00:00:00:00:02", dstMac: "02:00:00:00:00:01", ...back, id: 0, ...ip },
    icmpError({ mtu: Math.max(LOWEST_MTU, mtu - SIZE[pair.over]) }, quote(frame, QUOTED)),
  );
}

table(
  "at egress a packet has to fit with its carrier",
  PAIRS.flatMap((pair) => {
    const name = `${pair.inner} over ${pair.over}`;
    const rules = funnelRule(pair);
    const row = (
      title: string,
      came: Fields,
      outcome: Row["outcome"],
      { mtu = MTU, padding = 0, answer = {} } = {},
    ): Row => {
      const frame = pad(plain(pair, "there", came), padding, 0xee);
      const reported = outcome === "too_big_reported";
      return {
        name: `${name}: ${title}`,
        rules,
        direction: "egress",
        mtu,
        frame,
        outcome,
        ...(outcome === "funneled" ? { out: carried(pair, "there", came) } : {}),
        ...(reported ? { out: report(pair, "there", frame, mtu, answer) } : {}),
        inner: pair.inner,
      };
    };
    const fits = filling(pair, MTU);
    const more = filling(pair, MTU + 1);
    const df = { df: true };
    const reply = (ip: Ipv4Fields, content: Uint8Array, outcome: Row["outcome"]): Row => {
      const fields = { ip, content };
      const frame = plain(pair, "back", fields);
      return {
        name: `${name}: a reply, ${content.length} bytes, ${outcome}`,
        rules: "",
        otherRules: unfunnelRule(pair),
        earlier: [arrived(pair)],
        direction: "egress",
        mtu: MTU,
        frame,
        outcome,
        rule: undefined,
        ...(outcome === "reply_funneled" ? { out: carried(pair, "back", fields) } : {}),
        ...(outcome === "too_big_reported" ? { out: report(pair, "back", frame, MTU, {}) } : {}),
        inner: pair.inner,
      };
    };
    const macs = { srcMac: "02:aa:00:00:00:0a", dstMac: "02:bb:00:00:00:0b" };
    return [
      row("it just does", { ip: df, content: fits }, "funneled"),
      row("it just does without DF", { content: fits }, "funneled"),
      row("one byte more", { ip: df, content: more }, "too_big_reported"),
      row("one byte more without DF", { content: more }, "too_big"),
      row("much more", { ip: df, content: payload(2000) }, "too_big_reported"),
      row("padding does not count", { ip: df, content: more }, "too_big_reported", { padding: 9 }),
      row(
        "one byte more behind IP options",
        { ip: { ...df, options: payload(4) }, content: more },
        "too_big",
      ),
      row(
        "its header is quoted as it was",
        {
          ip: { ...df, tos: 0xb9, id: 0xffff, ttl: 1, reserved: true, checksum: { wrongBy: 3 } },
          transport: { checksum: { wrongBy: 5 } },
          content: more,
        },
        "too_big_reported",
      ),
      row(
        "its stations are turned round",
        { ip: { ...df, ...macs }, content: more },
        "too_big_reported",
        { answer: { srcMac: macs.dstMac, dstMac: macs.srcMac } },
      ),
      ...[QUOTED - 1, QUOTED, QUOTED + 1].flatMap((behind) => {
        const mtu = 20 + behind + SIZE[pair.over] - 1;
        const content = payload(behind - HEADER[pair.inner]);
        const outcome = behind < QUOTED ? "too_big" : "too_big_reported";
        return [0, 9].map((padding) =>
          row(
            `${behind} bytes behind its IP header, ${padding} of padding, MTU ${mtu}`,
            { ip: df, content },
            outcome,
            { mtu, padding },
          ),
        );
      }),
      ...[68, 75, 76, 77, 87, 88, 89].map((mtu) =>
        row(`much more than MTU ${mtu}`, { ip: df, content: payload(100) }, "too_big_reported", {
          mtu,
        }),
      ),
      row("less than is quoted, MTU 68", { ip: df, content: filling(pair, 69) }, "too_big", {
        mtu: 68,
      }),
      ...["224.0.0.0", "224.0.0.251", "239.255.255.255", "240.0.0.1", "255.255.255.255"].map(
        (dst) => row(`one byte more to ${dst}`, { ip: { ...df, dst }, content: more }, "too_big"),
      ),
      row(
        "one byte more to 223.255.255.255",
        { ip: { ...df, dst: "223.255.255.255" }, content: more },
        "too_big_reported",
        { answer: { src: "223.255.255.255" } },
      ),
      row(
        "it just does, to many",
        { ip: { ...df, dst: "224.0.0.251" }, content: fits },
        "funneled",
      ),
      reply(df, fits, "reply_funneled"),
      reply(df, more, "too_big_reported"),
      reply({}, more, "too_big"),
      {
        ...row("at ingress any length", { ip: df, content: payload(2000) }, "funneled"),
        direction: "ingress" as const,
      },
    ];
  }),
);

// -------------------------------------------------------------------------- errors turned

const ROUTER = "203.0.113.9";
/** An IP option (RFC 2113). */
const ROUTER_ALERT = bytes("94040000");

/** Where flows get their carrier: at egress on the client itself, at ingress on a gateway. */
type Side = "host" | "gateway";

const mirrored = (direction: Direction, side: Side): Direction =>
  side === "host" ? direction : direction === "ingress" ? "egress" : "ingress";

interface Told {
  readonly type?: number;
  readonly code?: number;
  readonly mtu?: number;
  readonly unused?: number;
}

/** One error that comes and what leaves of it. */
interface Case {
  readonly name: string;
  /** Of the quoted packet. */
  readonly fields?: Fields;
  /** Of the quoted packet in its carrier, where it differs. */
  readonly carriedFields?: Fields;
  /** Bytes quoted behind the IP header, if there were no carrier. */
  readonly length?: number;
  readonly came?: Told;
  readonly leaves?: Told;
  /** Of the error itself. */
  readonly ip?: Ipv4Fields;
  readonly padding?: number;
}

/** Who has seen which packet pass when the error comes. */
interface Scene {
  readonly name: string;
  readonly outcome: "error_unfunneled" | "error_funneled";
  readonly hook: Direction;
  readonly way: Way;
  readonly earlier: (pair: Pair) => Earlier;
}

/** As on a host; on a gateway the hooks change places. */
const SCENES: readonly Scene[] = [
  {
    name: "of what left",
    outcome: "error_unfunneled",
    hook: "ingress",
    way: "there",
    earlier: left,
  },
  {
    name: "of a reply that left",
    outcome: "error_unfunneled",
    hook: "ingress",
    way: "back",
    earlier: arrived,
  },
  {
    name: "of what arrived",
    outcome: "error_funneled",
    hook: "egress",
    way: "there",
    earlier: arrived,
  },
  {
    name: "of a reply that arrived",
    outcome: "error_funneled",
    hook: "egress",
    way: "back",
    earlier: left,
  },
];

function errorFrame(way: Way, one: Case, told: Told, quoted: Uint8Array): Uint8Array {
  const dst = way === "there" ? CLIENT : POD;
  return pad(
    ipv4({ src: ROUTER, dst, tos: 0xc0, ttl: 63, ...one.ip }, icmpError(told, quoted)),
    one.padding ?? 0,
    0xee,
  );
}

/** The frame with its carrier in the quote, and the one without. */
function bothForms(pair: Pair, { way, outcome }: Scene, one: Case) {
  const { fields = {}, carriedFields = fields, length = Number.POSITIVE_INFINITY } = one;
  const { came = { mtu: 1400 } } = one;
  const change = outcome === "error_unfunneled" ? -SIZE[pair.over] : SIZE[pair.over];
  const { leaves = { ...came, mtu: (came.mtu ?? 0) + change } } = one;
  const [inCarrier, without] =
    outcome === "error_unfunneled" ? ([came, leaves] as const) : ([leaves, came] as const);
  return {
    carrier: errorFrame(
      way,
      one,
      inCarrier,
      quote(carried(pair, way, carriedFields), SIZE[pair.over] + length),
    ),
    plain: errorFrame(way, one, without, quote(plain(pair, way, fields), length)),
  };
}

type Situation = Pick<Row, "rules" | "otherRules" | "direction" | "earlier">;

/** The rule of a side, which the flow in the scene has met. */
function situation(pair: Pair, scene: Scene, side: Side): Situation {
  const { direction, ...earlier } = scene.earlier(pair);
  const met = mirrored(direction, side);
  const rule = scene.earlier === left ? funnelRule(pair) : unfunnelRule(pair);
  const hook = mirrored(scene.hook, side);
  return {
    ...(met === hook ? { rules: rule, otherRules: "" } : { rules: "", otherRules: rule }),
    direction: hook,
    earlier: [{ ...earlier, direction: met }],
  };
}

function turnedRow(pair: Pair, scene: Scene, side: Side, one: Case): Row {
  const { carrier, plain: own } = bothForms(pair, scene, one);
  const isUnfunneled = scene.outcome === "error_unfunneled";
  return {
    ...situation(pair, scene, side),
    name: `${pair.inner} over ${pair.over}, ${scene.name}, ${side}: ${one.name}`,
    frame: isUnfunneled ? carrier : own,
    outcome: scene.outcome,
    out: isUnfunneled ? own : carrier,
  };
}

/** Where the transport's header begins in a frame. */
const TRANSPORT = 34;
const CHECKSUM_AT = { tcp: TRANSPORT + 16, udp: TRANSPORT + 6 } as const;

/** The carrier of a packet with a right checksum, of which errors take every one to be. */
function asIfRight(pair: Pair, way: Way, fields: Fields): Fields {
  const { checksum: _, ...transport } = fields.transport ?? {};
  const right = carried(pair, way, { ...fields, transport });
  return { ...fields, carrier: { checksum: word(right, CHECKSUM_AT[pair.over]) } };
}

for (const pair of PAIRS) {
  for (const scene of SCENES) {
    const flow: Fields = { ip: { df: true }, content: payload(100) };
    const size = SIZE[pair.over];
    const broken = (transport: NonNullable<Fields["transport"]>): Partial<Case> => {
      const fields = { ...flow, transport };
      return { fields, carriedFields: asIfRight(pair, scene.way, fields) };
    };
    const unchanged = (mtu: number) => ({ came: { mtu }, leaves: { mtu } });
    const isUnfunneled = scene.outcome === "error_unfunneled";
    const cases: readonly Case[] = [
      { name: "all of it quoted", fields: flow },
      { name: "an odd length of payload", fields: { content: payload(33) } },
      ...[8, 9, 16, 18, 19, 20, 64].map((length) => ({
        name: `${length} bytes quoted`,
        fields: flow,
        length,
      })),
      ...[
        { type: ICMP.unreachable, code: 3 },
        { type: ICMP.timeExceeded, code: 1 },
        { type: ICMP.parameterProblem, code: 0 },
      ].map((kind) => {
        const came = { ...kind, unused: 0x0900, mtu: 1400 };
        return { name: `type ${kind.type} code ${kind.code}`, fields: flow, came, leaves: came };
      }),
      {
        name: "a header full of values",
        fields: { ...flow, ip: { tos: 0xb9, ttl: 1, id: 0xffff, reserved: true } },
      },
      {
        name: "a wrong checksum of the quoted IP header",
        fields: { ...flow, ip: { checksum: { wrongBy: 9 } } },
      },
      { name: "a wrong checksum of the quoted flow", ...broken({ checksum: { wrongBy: 9 } }) },
      ...(pair.inner === "udp"
        ? [{ name: "a quoted flow without a checksum", ...broken({ checksum: "none" }) }]
        : [
            {
              name: "a quoted flow with options and all flags",
              fields: { ...flow, transport: { options: payload(40), flags: 0xfd, urgent: 7 } },
            },
          ]),
      {
        name: "with something behind the quote (RFC 4884)",
        fields: flow,
        came: { mtu: 1400, unused: 40 },
        leaves: {
          mtu: 1400 + (isUnfunneled ? -size : size),
          unused: 40 + (isUnfunneled ? -size : size) / 4,
        },
      },
      { name: "before padding", fields: flow, length: 8, padding: 7 },
      { name: "under a wrong IP checksum", fields: flow, ip: { checksum: { wrongBy: 9 } } },
      {
        name: "about a packet with payload that is cut off",
        fields: { content: payload(1300) },
        length: 40,
      },
      ...(isUnfunneled
        ? [
            { name: "the least MTU", came: { mtu: 68 + size }, leaves: { mtu: 68 } },
            { name: "an MTU that cannot be", ...unchanged(67 + size) },
            { name: "the highest MTU", came: { mtu: 65535 }, leaves: { mtu: 65535 - size } },
          ]
        : [
            { name: "the least MTU", came: { mtu: 68 }, leaves: { mtu: 68 + size } },
            { name: "one less", came: { mtu: 67 }, leaves: { mtu: 67 + size } },
            { name: "the highest MTU", came: { mtu: 65535 - size }, leaves: { mtu: 65535 } },
            { name: "an MTU that cannot be any higher", ...unchanged(65536 - size) },
          ]),
      { name: "no MTU", ...unchanged(0) },
    ];
    table(`${pair.inner} over ${pair.over}: an error ${scene.name}`, [
      ...cases.map((one) => turnedRow(pair, scene, "host", one)),
      ...cases.slice(0, 1).map((one) => turnedRow(pair, scene, "gateway", one)),
      ...(pair.inner === "tcp" ? [halfOfChecksum(pair, scene)] : []),
      damagedRow(pair, scene),
    ]);
  }
}

/** A quote that ends within TCP's checksum: the half of it that is there says nothing, and stays. */
function halfOfChecksum(pair: Pair, scene: Scene): Row {
  const row = turnedRow(pair, scene, "host", { name: "17 bytes quoted", length: 17 });
  const last = row.frame.at(-1) ?? 0;
  const quoted = (row.out ?? row.frame).slice(TRANSPORT + 8);
  quoted[quoted.length - 1] = last;
  const mtu = word(row.out ?? row.frame, TRANSPORT + 6);
  return { ...row, out: errorFrame(scene.way, { name: "" }, { mtu }, quoted) };
}

/** With a checksum made anew, nobody would see that the error is damaged. */
function damagedRow(pair: Pair, scene: Scene): Row {
  const { out: _, ...row } = turnedRow(pair, scene, "host", { name: "a wrong checksum" });
  return { ...row, frame: damaged(row.frame), outcome: "not_tcp_udp" };
}

/** The checksum of the error made wrong. */
function damaged(frame: Uint8Array): Uint8Array {
  return patch(frame, TRANSPORT + 2, (frame[TRANSPORT + 2] ?? 0) ^ 0xff);
}

// ------------------------------------------------------------------------------- not turned

const [UNFUNNELED] = SCENES as [Scene];

/** Each protocol in both places once. */
const CROSSED: readonly Pair[] = [
  { inner: "udp", over: "tcp" },
  { inner: "tcp", over: "udp" },
];

for (const pair of CROSSED) {
  const flow: Fields = { content: payload(60) };
  const untouched = (
    name: string,
    scene: Scene,
    frame: Uint8Array,
    outcome: Row["outcome"] = "not_tcp_udp",
  ): Row => ({
    ...situation(pair, scene, "host"),
    name,
    frame,
    outcome,
  });

  const others = (scene: Scene): Row[] => {
    const isUnfunneled = scene.outcome === "error_unfunneled";
    const build = isUnfunneled ? carried : plain;
    const error = (
      quoted: Uint8Array,
      layer: (quoted: Uint8Array) => Layer = (all) => icmpError({ mtu: 1400 }, all),
      ip: Ipv4Fields = {},
    ) => ipv4({ src: ROUTER, dst: scene.way === "there" ? CLIENT : POD, ...ip }, layer(quoted));
    const own = build(pair, scene.way, flow);
    const other = (fields: Fields, as = pair) =>
      error(quote(build(as, scene.way, { ...flow, ...fields })));
    const ofLength = (length: number) => error(patch(quote(own), 2, length >> 8, length & 0xff));
    const row = (name: string, frame: Uint8Array) =>
      untouched(`${scene.name}: ${name}`, scene, frame);
    const { sport, dport } = { sport: word(own, TRANSPORT), dport: word(own, TRANSPORT + 2) };
    return [
      ...[0, 4, 5, 8, 13].map((type) =>
        row(
          `ICMP type ${type}`,
          error(quote(own), (all) => icmp({ type, code: 4 }, all)),
        ),
      ),
      row("an error behind IP options", error(quote(own), undefined, { options: ROUTER_ALERT })),
      row("a first fragment of an error", error(quote(own), undefined, { mf: true })),
      row("a last fragment of an error", error(quote(own), undefined, { fragmentOffset: 1 })),
      row("a quote of a first fragment", other({ ip: { mf: true } })),
      row("a quote of a last fragment", other({ ip: { fragmentOffset: 1 } })),
      row("a quote with IP options", other({ ip: { options: ROUTER_ALERT } })),
      row("a quote of another version", other({ ip: { version: 6 } })),
      row("a quote of another protocol", other({ ip: { protocol: 132 } })),
      row("a quote of a packet too short for itself", ofLength(27)),
      row("a quote of another source", other({ ip: { src: "192.0.2.77" } })),
      row("a quote of another destination", other({ ip: { dst: "192.0.2.77" } })),
      row("a quote of 7 bytes", error(quote(own, 7))),
      row("a quote of an IP header alone", error(quote(own, 0))),
      row("a quote of half an IP header", error(quote(own).subarray(0, 10))),
      row("no quote", error(bytes())),
      row(
        "an error of 7 bytes",
        error(bytes(), () => raw(1, bytes("03040000 000005"))),
      ),
      row(
        "an error of nothing",
        error(bytes(), () => raw(1)),
      ),
      ...(isUnfunneled
        ? [
            row("another port of its carrier", other({ carrier: { sport: sport + 1 } })),
            row("another service", other({ carrier: { dport: dport + 1 } })),
            row(
              "the other carrier",
              other({}, { ...pair, over: pair.over === "tcp" ? "udp" : "tcp" }),
            ),
            row("no carrier", error(quote(plain(pair, scene.way, flow)))),
            pair.inner === "udp"
              ? row("a UDP length that does not fit", other({ transport: { length: 67 } }))
              : row("a length without room", ofLength(20 + SIZE[pair.over] + 7)),
          ]
        : [row("still in its carrier", error(quote(carried(pair, scene.way, flow))))]),
      row("another port of the flow's", other({ transport: { sport: 7 } })),
      row("another port that the flow goes to", other({ transport: { dport: 7 } })),
      {
        ...row("at the other hook", error(quote(own))),
        ...swapped(situation(pair, scene, "host")),
      },
      {
        ...row("a flow that nobody has seen", error(quote(own))),
        earlier: [],
      },
    ];
  };
  table(`${pair.inner} over ${pair.over}: an error about something else`, SCENES.flatMap(others));

  const cutOff = (length: number, ip: Ipv4Fields = {}) =>
    ipv4(
      { src: ROUTER, dst: CLIENT, ...ip },
      icmpError({ mtu: 1400 }, quote(carried(pair, "there", flow), length)),
    );
  // Around what a router has to quote, and the ends of the carrier's header and the flow's ports.
  const known = pair.over === "tcp" ? [0, 7, 8, 9, 15, 16, 19, 20, 21, 27] : [0, 7, 8, 9, 15];
  table(`${pair.inner} over ${pair.over}: a quote that ends before the flow's ports`, [
    ...known.flatMap((length) => {
      // 8 bytes are all that a router has to quote, and hold the sequence number.
      const outcome = pair.over === "tcp" && length >= 8 ? "quote_too_short" : "not_tcp_udp";
      const row = untouched(`${length} bytes`, UNFUNNELED, cutOff(length), outcome);
      return [
        row,
        {
          ...row,
          name: `${length} bytes of nothing known`,
          rules: "",
          otherRules: "",
          earlier: [],
        },
      ];
    }),
    ...[8, 20].flatMap((length) => [
      untouched(`${length} bytes under a wrong checksum`, UNFUNNELED, damaged(cutOff(length))),
      untouched(
        `${length} bytes behind IP options`,
        UNFUNNELED,
        cutOff(length, { options: ROUTER_ALERT }),
      ),
    ]),
    ...(pair.over === "tcp"
      ? [
          { seq: 1 },
          { ack: 1 },
          { flags: FLAG.ack },
          { window: 1 },
          { dataOffset: 6 },
          { reserved: 1 },
        ].flatMap((field) => {
          const real = carried(pair, "there", { ...flow, carrier: field });
          const names = Object.entries(field).flat().join(" ");
          const row = (length?: number, outcome?: Row["outcome"]) =>
            untouched(
              `a real connection: ${names}, ${length ?? "all"} bytes`,
              UNFUNNELED,
              ipv4({ src: ROUTER, dst: CLIENT }, icmpError({ mtu: 1400 }, quote(real, length))),
              outcome,
            );
          // Before the header is all there, the sequence number has to tell.
          const short = "seq" in field ? "not_tcp_udp" : "quote_too_short";
          return [row(), row(20), row(27), row(8, short), row(19, short)];
        })
      : []),
  ]);
}

/** The same memory, and the error at the hook where the flow went by. */
function swapped({ rules, otherRules, direction, earlier }: Situation) {
  const other: Direction = direction === "ingress" ? "egress" : "ingress";
  return { rules: otherRules ?? "", otherRules: rules, direction: other, earlier: earlier ?? [] };
}

// -------------------------------------------------------------------- clients of one address

describe("two clients of one address and port", () => {
  const pair: Pair = { inner: "udp", over: "tcp" };
  const second: Fields = { carrier: { sport: CARRIER_PORT + 1 } };
  const earlier: readonly Earlier[] = [
    arrived(pair),
    { direction: "ingress", frame: carried(pair, "there", second), outcome: "unfunneled" },
  ];
  /** The port under which the pod sees the second. */
  const port = (() => {
    const simulator = new Simulator({ ingress: parseRules(unfunnelRule(pair)) });
    const frames = earlier.map(({ frame, direction }) => simulator.run(frame, { direction }).frame);
    return word(frames[1] ?? bytes(), TRANSPORT);
  })();

  it("have ports of their own", () => expect(port).not.toBe(word(plain(pair, "there"), TRANSPORT)));

  const content = payload(50);
  const error = (mtu: number, quoted: Uint8Array) =>
    ipv4({ src: POD, dst: CLIENT }, icmpError({ mtu }, quoted));
  table(
    "to each the error about its own",
    [8, 50].flatMap((length): Row[] => {
      const row = (name: string, sport: number | undefined, fields: Fields): Row => ({
        name: `${name}, ${length} bytes`,
        rules: "",
        otherRules: unfunnelRule(pair),
        earlier,
        direction: "egress",
        frame: error(
          1400,
          quote(
            plain(pair, "there", {
              content,
              ...(sport === undefined ? {} : { transport: { sport } }),
            }),
            length,
          ),
        ),
        outcome: "error_funneled",
        out: error(1420, quote(carried(pair, "there", { content, ...fields }), 20 + length)),
      });
      return [row("the first", undefined, {}), row("the second", port, second)];
    }),
  );

  const reply = carried(pair, "back", {
    carrier: { dport: CARRIER_PORT + 1 },
    transport: { dport: port },
  });
  table("to none the error about what never left", [
    {
      name: "the second's carrier around the port that the pod sees",
      rules: unfunnelRule(pair),
      earlier,
      direction: "ingress",
      frame: ipv4({ src: ROUTER, dst: POD }, icmpError({ mtu: 1400 }, quote(reply))),
      outcome: "not_tcp_udp",
    },
  ]);
});
