/**
 * What is too big for its carrier is reported to its sender, and errors about packets in carriers
 * become errors about the packets, and the other way round.
 */
import { describe, expect, it } from "vitest";
import { Simulator } from "../../lib/model/index.ts";
import { parseRules } from "../../lib/rules/index.ts";
import type { Direction, Family } from "../../lib/rules/types.ts";
import {
  addresses,
  arrived,
  CARRIER_PORT,
  CLIENT,
  carried,
  FAMILIES,
  type Fields,
  funnelRule,
  IP_HEADER,
  left,
  ofBothFamilies,
  type Pair,
  POD,
  plain,
  SIZE,
  tagged,
  unfunnelRule,
  type Way,
} from "../support/both-ways.ts";
import { PAIRS } from "../support/flows.ts";
import {
  bytes,
  extensionHeader,
  FLAG,
  ICMP,
  ICMP6,
  type Ipv4Fields,
  type Ipv6Fields,
  icmp,
  icmpError,
  ipv4,
  ipv6,
  type Layer,
  pad,
  patch,
  payload,
  quote,
  raw,
  udp,
} from "../support/packet.ts";
import { type Earlier, type Row, table } from "../support/table.ts";

type IpFields = Ipv4Fields & Ipv6Fields;

const MTU = 1500;
const HEADER = { tcp: 20, udp: 8 } as const;
const word = (frame: Uint8Array, at: number) => ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);

// -------------------------------------------------------------------------- what is too big

/** A payload that makes a packet so long with its carrier. */
const filling = ({ inner, over, family = "ip" }: Pair, length: number) =>
  payload(length - IP_HEADER[family] - HEADER[inner] - SIZE[over]);

/** What an error of ours quotes behind the IP header: no less, or there is no error. */
const QUOTED = 64;
/** No link has less, so nobody is told to send less. */
const LOWEST_MTU = 68;

/** The error that a packet gets at egress. */
function report(
  pair: Pair,
  way: Way,
  frame: Uint8Array,
  mtu: number,
  { tags = 0, ...ip }: IpFields & Pick<Fields, "tags">,
): Uint8Array {
  const build = pair.family === "ip6" ? ipv6 : ipv4;
  const { src, dst } = addresses(way, pair.family);
  const stations = { srcMac: "02:00:00:00:00:02", dstMac: "02:00:00:00:00:01" };
  const told = { mtu: Math.max(LOWEST_MTU, mtu - SIZE[pair.over]) };
  const layer = icmpError(told, quote(frame, QUOTED));
  return tagged(build({ ...stations, src: dst, dst: src, id: 0, ...ip }, layer), tags);
}

table(
  "at egress a packet has to fit with its carrier",
  FAMILIES.flatMap((family) => PAIRS.map((pair) => ({ ...pair, family }))).flatMap((pair) => {
    const name = `${pair.family}, ${pair.inner} over ${pair.over}`;
    const rules = funnelRule(pair);
    const row = (
      title: string,
      came: Fields,
      outcome: Row["outcome"],
      {
        mtu = MTU,
        padding = 0,
        answer = {},
      }: { mtu?: number; padding?: number; answer?: IpFields & Pick<Fields, "tags"> } = {},
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
    const reply = (ip: IpFields, content: Uint8Array, outcome: Row["outcome"]): Row => {
      const fields = { ip, content };
      const frame = plain(pair, "back", fields);
      return {
        name: `${name}: a reply, ${content.length} bytes, ${outcome}`,
        rules: "",
        otherRules: unfunnelRule(pair),
        earlier: ofBothFamilies(arrived, pair),
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
    const common = [
      row("it just does", { ip: df, content: fits }, "funneled"),
      row("one byte more", { ip: df, content: more }, "too_big_reported"),
      row("much more", { ip: df, content: payload(2000) }, "too_big_reported"),
      row("padding does not count", { ip: df, content: more }, "too_big_reported", { padding: 9 }),
      row(
        "its stations are turned round",
        { ip: { ...df, ...macs }, content: more },
        "too_big_reported",
        { answer: { srcMac: macs.dstMac, dstMac: macs.srcMac } },
      ),
      ...([1, 2] as const).flatMap((tags) => [
        row(`it just does in ${tags} VLANs`, { ip: df, tags, content: fits }, "funneled"),
        row(`one byte more in ${tags} VLANs`, { ip: df, tags, content: more }, "too_big_reported", {
          answer: { tags },
        }),
      ]),
      reply(df, fits, "reply_funneled"),
      reply(df, more, "too_big_reported"),
      {
        ...row("at ingress any length", { ip: df, content: payload(2000) }, "funneled"),
        direction: "ingress" as const,
      },
    ];
    if (pair.family === "ip6") {
      const least = 1280 + SIZE[pair.over];
      const tooMuch = { content: filling(pair, least + 1) };
      return [
        ...common,
        row(
          "its header is quoted as it was",
          {
            ip: { trafficClass: 0xb9, flowLabel: 0xfedcb, hopLimit: 1 },
            transport: { checksum: { wrongBy: 5 } },
            content: more,
          },
          "too_big_reported",
        ),
        row("one byte more than the least that is heeded", tooMuch, "too_big_reported", {
          mtu: least,
        }),
        row("more than less than is heeded", tooMuch, "too_big", { mtu: least - 1 }),
        row("just less than is heeded", { content: filling(pair, least - 1) }, "funneled", {
          mtu: least - 1,
        }),
        ...["ff00::", "ff02::fb", "ffff::1"].map((dst) =>
          row(`one byte more to ${dst}`, { ip: { dst }, content: more }, "too_big"),
        ),
        row(
          "one byte more to feff::1",
          { ip: { dst: "feff::1" }, content: more },
          "too_big_reported",
          {
            answer: { src: "feff::1" },
          },
        ),
        row("it just does, to many", { ip: { dst: "ff02::fb" }, content: fits }, "funneled"),
      ];
    }
    return [
      ...common,
      row("it just does without DF", { content: fits }, "funneled"),
      row("one byte more without DF", { content: more }, "too_big"),
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
      reply({}, more, "too_big"),
    ];
  }),
);

// -------------------------------------------------------------------------- errors turned

const ROUTER = "203.0.113.9";
const ROUTERS = { ip: ROUTER, ip6: "2001:db8:ffff::9" } as const;
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
  readonly ip?: IpFields;
  readonly tags?: Fields["tags"];
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

function errorFrame(
  family: Family,
  way: Way,
  one: Case,
  told: Told,
  quoted: Uint8Array,
): Uint8Array {
  const between = { src: ROUTERS[family], dst: addresses(way, family).src };
  const layer = icmpError(told, quoted);
  const frame =
    family === "ip"
      ? ipv4({ ...between, tos: 0xc0, ttl: 63, ...one.ip }, layer)
      : ipv6({ ...between, trafficClass: 0xc0, hopLimit: 63, ...one.ip }, layer);
  return tagged(pad(frame, one.padding ?? 0, 0xee), one.tags);
}

/** The frame with its carrier in the quote, and the one without. */
function bothForms(pair: Pair, { way, outcome }: Scene, one: Case) {
  const { fields = {}, carriedFields = fields, length = Number.POSITIVE_INFINITY } = one;
  const { came = { mtu: 1400 } } = one;
  const { family = "ip" } = pair;
  const change = outcome === "error_unfunneled" ? -SIZE[pair.over] : SIZE[pair.over];
  const { leaves = { ...came, mtu: (came.mtu ?? 0) + change } } = one;
  const [inCarrier, without] =
    outcome === "error_unfunneled" ? ([came, leaves] as const) : ([leaves, came] as const);
  return {
    carrier: errorFrame(
      family,
      way,
      one,
      inCarrier,
      quote(carried(pair, way, carriedFields), SIZE[pair.over] + length),
    ),
    plain: errorFrame(family, way, one, without, quote(plain(pair, way, fields), length)),
  };
}

type Situation = Pick<Row, "rules" | "otherRules" | "direction" | "earlier">;

/** The rule of a side, which the flow in the scene has met. */
function situation(pair: Pair, scene: Scene, side: Side): Situation {
  const seen = ofBothFamilies(scene.earlier, pair);
  const met = mirrored(scene.earlier(pair).direction, side);
  const rule = scene.earlier === left ? funnelRule(pair) : unfunnelRule(pair);
  const hook = mirrored(scene.hook, side);
  return {
    ...(met === hook ? { rules: rule, otherRules: "" } : { rules: "", otherRules: rule }),
    direction: hook,
    earlier: seen.map((earlier) => ({ ...earlier, direction: met })),
  };
}

function turnedRow(pair: Pair, scene: Scene, side: Side, one: Case): Row {
  const { carrier, plain: own } = bothForms(pair, scene, one);
  const isUnfunneled = scene.outcome === "error_unfunneled";
  return {
    ...situation(pair, scene, side),
    name: `${pair.family ?? "ip"}, ${pair.inner} over ${pair.over}, ${scene.name}, ${side}: ${one.name}`,
    frame: isUnfunneled ? carrier : own,
    outcome: scene.outcome,
    out: isUnfunneled ? own : carrier,
  };
}

/** Where the transport's header begins in a frame without tags. */
const TRANSPORT = 34;
const transportAt = ({ family = "ip" }: Pair) => 14 + IP_HEADER[family];
const checksumAt = (pair: Pair) => transportAt(pair) + { tcp: 16, udp: 6 }[pair.over];

/** The carrier of a packet with a right checksum, of which errors take every one to be. */
function asIfRight(pair: Pair, way: Way, fields: Fields): Fields {
  const { checksum: _, ...transport } = fields.transport ?? {};
  const right = carried(pair, way, { ...fields, transport });
  return { ...fields, carrier: { checksum: word(right, checksumAt(pair)) } };
}

/** What is the same whichever version of IP it is, but for what it is called. */
function commonCases(pair: Pair, scene: Scene, flow: Fields): readonly Case[] {
  const broken = (transport: NonNullable<Fields["transport"]>): Partial<Case> => {
    const fields = { ...flow, transport };
    return { fields, carriedFields: asIfRight(pair, scene.way, fields) };
  };
  return [
    { name: "all of it quoted", fields: flow },
    { name: "an odd length of payload", fields: { content: payload(33) } },
    ...[8, 9, 16, 18, 19, 20, 64].map((length) => ({
      name: `${length} bytes quoted`,
      fields: flow,
      length,
    })),
    { name: "a wrong checksum of the quoted flow", ...broken({ checksum: { wrongBy: 9 } }) },
    ...(pair.inner === "udp"
      ? [{ name: "a quoted flow without a checksum", ...broken({ checksum: "none" }) }]
      : [
          {
            name: "a quoted flow with options and all flags",
            fields: { ...flow, transport: { options: payload(40), flags: 0xfd, urgent: 7 } },
          },
        ]),
    { name: "before padding", fields: flow, length: 8, padding: 7 },
    { name: "in a VLAN", fields: flow, tags: 1 },
    { name: "in two VLANs, before padding", fields: flow, length: 8, tags: 2, padding: 7 },
    {
      name: "about a packet with payload that is cut off",
      fields: { content: payload(1300) },
      length: 40,
    },
    { name: "no MTU", came: { mtu: 0 }, leaves: { mtu: 0 } },
  ];
}

function ipv4Cases(pair: Pair, scene: Scene): readonly Case[] {
  const flow: Fields = { ip: { df: true }, content: payload(100) };
  const size = SIZE[pair.over];
  const unchanged = (mtu: number) => ({ came: { mtu }, leaves: { mtu } });
  const isUnfunneled = scene.outcome === "error_unfunneled";
  return [
    ...commonCases(pair, scene, flow),
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
    {
      name: "with something behind the quote (RFC 4884)",
      fields: flow,
      came: { mtu: 1400, unused: 40 },
      leaves: {
        mtu: 1400 + (isUnfunneled ? -size : size),
        unused: 40 + (isUnfunneled ? -size : size) / 4,
      },
    },
    { name: "under a wrong IP checksum", fields: flow, ip: { checksum: { wrongBy: 9 } } },
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
  ];
}

function ipv6Cases(pair: Pair, scene: Scene): readonly Case[] {
  const flow: Fields = { content: payload(100) };
  const size = SIZE[pair.over];
  const isUnfunneled = scene.outcome === "error_unfunneled";
  /** A length of the quote in words of 8 bytes: over TCP it does not grow by whole ones. */
  const words = (type: number, before: number): Case => {
    const after = pair.over === "tcp" ? 0 : before + (isUnfunneled ? -1 : 1);
    const told = { type, code: 0, mtu: 1400 };
    return {
      name: `type ${type} with something behind the quote (RFC 4884)`,
      fields: flow,
      came: { ...told, unused: before << 8 },
      leaves: { ...told, unused: after << 8 },
    };
  };
  const mtus = isUnfunneled
    ? [
        [1280 + size, 1280],
        [1279 + size, 1280],
        [1280, 1280],
        [1279, 1279],
        [68, 68],
        [65535, 65535 - size],
        [65536, 65536 - size],
        [0xffffffff, 0xffffffff - size],
      ]
    : [
        [1280, 1280 + size],
        [68, 68 + size],
        [65535 - size, 65535],
        [65536 - size, 65536 - size],
        [65536, 65536],
        [0xffffffff, 0xffffffff],
      ];
  return [
    ...commonCases(pair, scene, flow),
    ...[
      { type: ICMP6.unreachable, code: 4 },
      { type: ICMP6.timeExceeded, code: 0 },
      { type: ICMP6.parameterProblem, code: 1 },
    ].map((kind) => {
      const came = { ...kind, unused: 0x0009, mtu: 1400 };
      return { name: `type ${kind.type} code ${kind.code}`, fields: flow, came, leaves: came };
    }),
    {
      name: "a header full of values",
      fields: { ...flow, ip: { trafficClass: 0xb9, hopLimit: 1, flowLabel: 0xfedcb } },
    },
    words(ICMP6.unreachable, 40),
    words(ICMP6.timeExceeded, 2),
    {
      name: "a pointer, which is no length",
      fields: flow,
      came: { type: ICMP6.parameterProblem, code: 0, unused: 0x2800, mtu: 40 },
      leaves: { type: ICMP6.parameterProblem, code: 0, unused: 0x2800, mtu: 40 },
    },
    ...mtus.map(([came = 0, leaves = 0]) => ({
      name: `MTU ${came}`,
      fields: flow,
      came: { mtu: came },
      leaves: { mtu: leaves },
    })),
  ];
}

for (const pair of PAIRS) {
  for (const scene of SCENES) {
    const rows = FAMILIES.flatMap((family) => {
      const own = { ...pair, family };
      const cases = (family === "ip" ? ipv4Cases : ipv6Cases)(own, scene);
      return [
        ...cases.map((one) => turnedRow(own, scene, "host", one)),
        ...cases.slice(0, 1).map((one) => turnedRow(own, scene, "gateway", one)),
        ...(pair.inner === "tcp" ? [halfOfChecksum(own, scene)] : []),
        damagedRow(own, scene),
      ];
    });
    table(`${pair.inner} over ${pair.over}: an error ${scene.name}`, rows);
  }
}

/** A quote that ends within TCP's checksum: the half of it that is there says nothing, and stays. */
function halfOfChecksum(pair: Pair, scene: Scene): Row {
  const row = turnedRow(pair, scene, "host", { name: "17 bytes quoted", length: 17 });
  const message = transportAt(pair);
  const last = row.frame.at(-1) ?? 0;
  const quoted = (row.out ?? row.frame).slice(message + 8);
  quoted[quoted.length - 1] = last;
  const mtu = word(row.out ?? row.frame, message + 6);
  const { family = "ip" } = pair;
  return { ...row, out: errorFrame(family, scene.way, { name: "" }, { mtu }, quoted) };
}

/** With a checksum made anew, nobody would see that the error is damaged. */
function damagedRow(pair: Pair, scene: Scene): Row {
  const { out: _, ...row } = turnedRow(pair, scene, "host", { name: "a wrong checksum" });
  return { ...row, frame: damaged(row.frame, transportAt(pair)), outcome: "not_tcp_udp" };
}

/** The checksum of the error made wrong. */
function damaged(frame: Uint8Array, at = TRANSPORT): Uint8Array {
  return patch(frame, at + 2, (frame[at + 2] ?? 0) ^ 0xff);
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
  const others6 = (scene: Scene): Row[] => {
    const own = { ...pair, family: "ip6" } as const;
    const isUnfunneled = scene.outcome === "error_unfunneled";
    const build = isUnfunneled ? carried : plain;
    const between = { src: ROUTERS.ip6, dst: addresses(scene.way, "ip6").src };
    const error = (quoted: Uint8Array, ip: Ipv6Fields = {}) =>
      ipv6({ ...between, ...ip }, icmpError({ mtu: 1400 }, quoted));
    const about = (fields: Fields, as: Pair = own) =>
      error(quote(build(as, scene.way, { ...flow, ...fields })));
    const sound = build(own, scene.way, flow);
    const ofLength = (length: number) => error(patch(quote(sound), 4, length >> 8, length & 0xff));
    const row = (name: string, frame: Uint8Array, outcome?: Row["outcome"]) =>
      untouched(`IPv6, ${scene.name}: ${name}`, scene, frame, outcome);
    const layer = (type: number) => icmp({ type, code: 0 }, quote(sound));
    const extended = (header: number) => {
      const ip = ipv6(addresses(scene.way, "ip6"), extensionHeader(header, udp({}, payload(60))));
      return error(quote(ip));
    };
    const message = icmpError({ mtu: 1400 }, quote(sound));
    return [
      ...[0, 5, 100, 127, 128, 129, 135].map((type) =>
        row(`ICMPv6 type ${type}`, ipv6(between, layer(type))),
      ),
      row("an error of ICMP for IPv4", error(quote(sound), { nextHeader: 1 })),
      row(
        "an error behind another header",
        ipv6(between, extensionHeader(60, { ...message, protocol: 58 })),
        "extension_header",
      ),
      row(
        "a fragment of an error",
        ipv6(between, extensionHeader(44, { ...message, protocol: 58 })),
        "fragment",
      ),
      ...[44, 60, 0].map((header) => row(`a quote with header ${header}`, extended(header))),
      row("a quote of another version", about({ ip: { version: 4 } })),
      row("a quote of another protocol", about({ ip: { nextHeader: 132 } })),
      row("a quote of IPv4", error(quote(build({ ...pair, family: "ip" }, scene.way, flow)))),
      row(
        "a quote of IPv6 in an error of IPv4",
        ipv4(
          { src: ROUTER, dst: addresses(scene.way).src },
          icmpError({ mtu: 1400 }, quote(sound)),
        ),
      ),
      row("a quote of a packet too short for itself", ofLength(7)),
      row("a quote of another source", about({ ip: { src: "2001:db8::77" } })),
      row("a quote of another destination", about({ ip: { dst: "2001:db8::77" } })),
      row("a quote of 7 bytes", error(quote(sound, 7))),
      row("a quote of an IP header alone", error(quote(sound, 0))),
      row("a quote of half an IP header", error(quote(sound).subarray(0, 20))),
      row("no quote", error(bytes())),
      row("an error of 7 bytes", ipv6(between, raw(58, bytes("02000000 000005")))),
      row("an error of nothing", ipv6(between, raw(58))),
      row("from elsewhere than it says", patch(error(quote(sound)), 37, 0x0a)),
      ...(isUnfunneled
        ? [
            row("another service", about({ carrier: { dport: 7 } })),
            row(
              "the other carrier",
              about({}, { ...own, over: pair.over === "tcp" ? "udp" : "tcp" }),
            ),
            row("no carrier", error(quote(plain(own, scene.way, flow)))),
          ]
        : [row("still in its carrier", error(quote(carried(own, scene.way, flow))))]),
      row("another port of the flow's", about({ transport: { sport: 7 } })),
      row("another port that the flow goes to", about({ transport: { dport: 7 } })),
    ];
  };
  table(
    `${pair.inner} over ${pair.over}: an error about something else`,
    SCENES.flatMap((scene) => [...others(scene), ...others6(scene)]),
  );

  const cutOff6 = (length: number) =>
    ipv6(
      { src: ROUTERS.ip6, dst: addresses("there", "ip6").src },
      icmpError({ mtu: 1400 }, quote(carried({ ...pair, family: "ip6" }, "there", flow), length)),
    );
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
        untouched(`${length} bytes of IPv6`, UNFUNNELED, cutOff6(length), outcome),
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
