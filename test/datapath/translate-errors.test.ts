/** ICMP errors about translated connections, on the four ways by which they come and go. */
import { Simulator } from "../../lib/model/index.ts";
import { parseRules } from "../../lib/rules/index.ts";
import type { Direction, Family } from "../../lib/rules/types.ts";
import { addresses, FAMILIES, tagged } from "../support/both-ways.ts";
import {
  FLAG,
  ICMP,
  ICMP6,
  icmpError,
  ipv4,
  ipv6,
  pad,
  patch,
  payload,
  quote,
  truncate,
  udp,
} from "../support/packet.ts";
import { type Earlier, type Row, table } from "../support/table.ts";
import {
  CLIENT_RULE,
  CLIENT_SIDE,
  established,
  type Fields,
  marked,
  OWN,
  own,
  RST_ACK,
  SERVICE,
  SERVICE_RULE,
  SERVICE_SIDE,
  syn,
  WANTED,
  wire,
} from "../support/translated.ts";

const MTU = 1400;
/** Behind the IP header: no more than ports and sequence number, all of the header, all there is. */
const QUOTED = [8, 16, 18, 19, 20, 31, Number.POSITIVE_INFINITY];

/** One of the four: where errors come by, about which packets, and what these become. */
interface Side {
  readonly name: string;
  readonly rules: Pick<Row, "rules" | "otherRules" | "direction">;
  readonly outcome: "error_unfunneled" | "error_funneled";
  readonly earlier: (like: Fields) => Earlier[];
  /** The packet as the writer of the error saw it, and as its reader knows it. */
  readonly seen: (fields: Fields) => Uint8Array;
  readonly known: (fields: Fields) => Uint8Array;
}

const there =
  (build: typeof own) =>
  (fields: Fields): Uint8Array =>
    build("there", fields);
const back =
  (build: typeof own) =>
  (fields: Fields): Uint8Array =>
    build("back", fields);

const SIDES: readonly Side[] = [
  {
    name: "to the client, about what it sent",
    rules: { rules: "", otherRules: CLIENT_RULE, direction: "ingress" },
    outcome: "error_unfunneled",
    earlier: (like) => established(CLIENT_SIDE, like),
    seen: there(wire),
    known: there(own),
  },
  {
    name: "from the client, about what it got",
    rules: { rules: CLIENT_RULE, direction: "egress" },
    outcome: "error_funneled",
    earlier: (like) => established(CLIENT_SIDE, like),
    seen: back(own),
    known: back(wire),
  },
  {
    name: "to the pod, about what it answered",
    rules: { rules: SERVICE_RULE, direction: "ingress" },
    outcome: "error_unfunneled",
    earlier: (like) => established(SERVICE_SIDE, like),
    seen: back(wire),
    known: back(own),
  },
  {
    name: "from the pod, about what it got",
    rules: { rules: "", otherRules: SERVICE_RULE, direction: "egress" },
    outcome: "error_funneled",
    earlier: (like) => established(SERVICE_SIDE, like),
    seen: there(own),
    known: there(wire),
  },
];

interface ErrorFields {
  readonly type?: number;
  readonly code?: number;
  readonly mtu?: number;
  readonly unused?: number;
  readonly tags?: Fields["tags"];
  readonly checksum?: { readonly wrongBy: number };
}

/** An error from a router on the way. */
function errorOf(family: Family, quoted: Uint8Array, fields: ErrorFields = {}): Uint8Array {
  const { tags, ...icmp } = fields;
  const layer = icmpError({ mtu: MTU, ...icmp }, quoted);
  const src = family === "ip" ? "203.0.113.9" : "2001:db8:9::9";
  const { dst } = addresses("back", family);
  return tagged((family === "ip" ? ipv4 : ipv6)({ src, dst }, layer), tags);
}

table(
  "an error about a translated connection",
  SIDES.flatMap(({ name, rules, outcome, earlier, seen, known }) =>
    FAMILIES.flatMap((family) => {
      const turnedInto = (
        title: string,
        fields: Fields,
        { error = {}, quoted = Number.POSITIVE_INFINITY, padding = 0 } = {} as {
          error?: ErrorFields;
          quoted?: number;
          padding?: number;
        },
      ): Row => {
        const like = { ...fields, family };
        const build = (packet: Uint8Array) =>
          pad(errorOf(family, quote(packet, quoted), error), padding, 0xee);
        return {
          ...rules,
          name: `${family}, ${name}: ${title}`,
          earlier: earlier({ family }),
          frame: build(seen(like)),
          outcome,
          rule: undefined,
          out: build(known(like)),
        };
      };
      const unreachable = family === "ip" ? ICMP.unreachable : ICMP6.unreachable;
      const exceeded = family === "ip" ? ICMP.timeExceeded : ICMP6.timeExceeded;
      const content = payload(31);
      return [
        ...QUOTED.map((quoted) => turnedInto(`${quoted} bytes quoted`, { content }, { quoted })),
        turnedInto("a long quote", { content: payload(1000) }),
        turnedInto("a wrong checksum in it stays wrong", {
          content,
          tcp: { checksum: { wrongBy: 7 } },
        }),
        turnedInto(
          "the port cannot be reached",
          {},
          { error: { type: unreachable, code: 3, mtu: 0 } },
        ),
        turnedInto(
          "time exceeded",
          { ip: { ttl: 1 } },
          { error: { type: exceeded, code: 0, mtu: 0 } },
        ),
        turnedInto("in a VLAN", { content }, { error: { tags: 1 } }),
        turnedInto("padded", {}, { quoted: 8, padding: 10 }),
        turnedInto("an MTU of zero", {}, { error: { mtu: 0 } }),
        turnedInto(
          "a length of the quote",
          { content: payload(100) },
          {
            error: family === "ip" ? { unused: 30 } : { type: exceeded, code: 0, unused: 15 << 8 },
          },
        ),
      ];
    }),
  ),
);

table(
  "an error that is about nothing that was translated",
  SIDES.flatMap(({ name, rules, earlier, seen, known }) => {
    const row = (title: string, frame: Uint8Array): Row => ({
      ...rules,
      name: `${name}: ${title}`,
      earlier: earlier({}),
      frame,
      outcome: "not_tcp_udp",
    });
    const about = (fields: Fields) => quote(seen(fields));
    const turned = rules.direction === "egress" ? "ingress" : "egress";
    return [
      row("another port of the client", errorOf("ip", about({ tcp: { sport: 1, dport: 1 } }))),
      row("other hosts", errorOf("ip", about({ ip: { dst: "198.51.100.8" } }))),
      row("as its reader knows it already", errorOf("ip", quote(known({})))),
      row("of UDP", errorOf("ip", quote(ipv4({}, udp({ sport: OWN, dport: SERVICE }))))),
      row("with a wrong checksum", errorOf("ip", about({}), { checksum: { wrongBy: 1 } })),
      row("seven bytes quoted", errorOf("ip", quote(seen({}), 7))),
      row("a quote with options", errorOf("ip", about({ ip: { options: payload(4) } }))),
      row("a quote of a fragment", errorOf("ip", about({ ip: { fragmentOffset: 3 } }))),
      row("of IPv6 in IPv4", errorOf("ip", about({ family: "ip6" }))),
      {
        ...row("by the other hook", errorOf("ip", about({}))),
        direction: turned as Direction,
        rules: rules.otherRules ?? "",
        otherRules: rules.rules,
      },
    ];
  }),
);

const direct: Earlier = {
  direction: "egress",
  frame: wire("there", { tcp: { flags: FLAG.syn, ack: 0 } }),
  outcome: "direct_remapped",
};
const REMAPPED = [...established(CLIENT_SIDE), direct];

/** The port with which the model lets the last of them leave. */
function remappedPort(): number {
  const simulator = new Simulator({ egress: parseRules(CLIENT_RULE) });
  const frames = REMAPPED.map(({ frame, direction }) => simulator.run(frame, { direction }).frame);
  const last = frames.at(-1) as Uint8Array;
  return ((last[34] ?? 0) << 8) | (last[35] ?? 0);
}

const PORT = remappedPort();

table("an error about a real connection", [
  {
    name: "that left from another port",
    rules: "",
    otherRules: CLIENT_RULE,
    direction: "ingress",
    earlier: REMAPPED,
    frame: errorOf("ip", quote(wire("there", { content: payload(9), tcp: { sport: PORT } }))),
    outcome: "direct_remapped",
    out: errorOf("ip", quote(wire("there", { content: payload(9) }))),
  },
  {
    name: "about what it got",
    rules: CLIENT_RULE,
    direction: "egress",
    earlier: REMAPPED,
    frame: errorOf("ip", quote(wire("back", { content: payload(9) }))),
    outcome: "direct_remapped",
    out: errorOf("ip", quote(wire("back", { content: payload(9), tcp: { dport: PORT } }))),
  },
  {
    name: "that kept its port",
    rules: "",
    otherRules: CLIENT_RULE,
    direction: "ingress",
    earlier: [{ ...direct, outcome: "no_match" }],
    frame: errorOf("ip", quote(wire("there", { content: payload(9) }))),
    outcome: "not_tcp_udp",
  },
]);

table("an error after the end of a connection", [
  {
    name: "after a reset it is still turned",
    rules: "",
    otherRules: CLIENT_RULE,
    direction: "ingress",
    earlier: [...established(CLIENT_SIDE), CLIENT_SIDE.back({ tcp: { flags: RST_ACK } })],
    frame: errorOf("ip", quote(wire("there"))),
    outcome: "error_unfunneled",
    out: errorOf("ip", quote(own("there"))),
  },
  {
    name: "not if that came before it was one",
    rules: "",
    otherRules: CLIENT_RULE,
    direction: "ingress",
    earlier: [CLIENT_SIDE.syn(), CLIENT_SIDE.back({ tcp: { flags: RST_ACK } })],
    frame: errorOf("ip", quote(wire("there"))),
    outcome: "not_tcp_udp",
  },
  {
    name: "about its SYN, the mark of which stays",
    rules: "",
    otherRules: CLIENT_RULE,
    direction: "ingress",
    earlier: [CLIENT_SIDE.syn()],
    frame: errorOf("ip", quote(marked())),
    outcome: "error_unfunneled",
    out: errorOf("ip", quote(marked({ tcp: { dport: WANTED } }))),
  },
  {
    name: "from the pod about the SYN",
    rules: "",
    otherRules: SERVICE_RULE,
    direction: "egress",
    earlier: [SERVICE_SIDE.syn()],
    frame: errorOf("ip", quote(syn())),
    outcome: "error_funneled",
    out: errorOf("ip", quote(syn({ tcp: { dport: SERVICE } }))),
  },
  {
    name: "with a wrong checksum of the header around it",
    rules: "",
    otherRules: CLIENT_RULE,
    direction: "ingress",
    earlier: established(CLIENT_SIDE),
    frame: patch(errorOf("ip", quote(wire("there"))), 24, 0xff, 0xff),
    outcome: "error_unfunneled",
    out: patch(errorOf("ip", quote(own("there"))), 24, 0xff, 0xff),
  },
  {
    name: "cut short",
    rules: "",
    otherRules: CLIENT_RULE,
    direction: "ingress",
    earlier: established(CLIENT_SIDE),
    frame: truncate(errorOf("ip", quote(wire("there"))), 60),
    outcome: "malformed",
  },
  {
    name: "about a segment that says it is a carrier's, of a translated connection",
    rules: "",
    otherRules: CLIENT_RULE,
    direction: "ingress",
    earlier: established(CLIENT_SIDE),
    frame: errorOf("ip", quote(wire("there", { content: payload(30), tcp: { seq: 0xcafebabe } }))),
    outcome: "error_unfunneled",
    out: errorOf("ip", quote(own("there", { content: payload(30), tcp: { seq: 0xcafebabe } }))),
  },
]);
