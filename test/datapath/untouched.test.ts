/** What no rule is asked about: it passes byte for byte, and is counted under its own name. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Funnel, parseRules, SfunnelError } from "../../lib/index.ts";
import { type Outcome, simulate } from "../../lib/model/index.ts";
import type { Direction } from "../../lib/rules/types.ts";
import {
  arp,
  ETHERTYPE,
  ethernet,
  extensionHeader,
  icmp,
  ipv4,
  ipv6,
  pad,
  patch,
  payload,
  raw,
  tcp,
  tcpCarrier,
  truncate,
  udp,
  udpCarrier,
  vlan,
} from "../support/packet.ts";
import { type Row, table } from "../support/table.ts";

/** Rules that anything they may look at would match. */
const RULES: { readonly [direction in Direction]: string } = {
  egress: `udp actions funnel tcp dport 179 sport 540
           tcp actions funnel udp dport 179 sport 540`,
  ingress: `tcp actions unfunnel udp
            udp actions unfunnel tcp`,
};

const both = (name: string, frame: Uint8Array, outcome: Outcome): Row[] =>
  (["egress", "ingress"] as const).map((direction) => ({
    name: `${name}, ${direction}`,
    rules: RULES[direction],
    direction,
    frame,
    outcome,
  }));

const CARRIER = { sport: 540, dport: 179 };
const udpFlow = udp({}, payload(40));
const tcpFlow = tcp({}, payload(40));

const tags = (frame: Uint8Array, ...types: readonly number[]) =>
  types.reduce((inner, etherType, index) => vlan(inner, { id: 7 + index, etherType }), frame);
const [CUSTOMER, PROVIDER] = [ETHERTYPE.vlan, ETHERTYPE.serviceVlan];

table("neither IPv4 nor IPv6", [
  ...both("ARP", arp(), "not_ip"),
  ...both("ARP in a VLAN", vlan(arp()), "not_ip"),
  ...both("ARP in a VLAN of a provider", tags(arp(), CUSTOMER, PROVIDER), "not_ip"),
  ...both("MPLS", ethernet({ etherType: 0x8847 }, payload(60)), "not_ip"),
  ...both("nothing but an Ethernet header", ethernet({ etherType: 0x88b5 }, payload(0)), "not_ip"),
  ...[ipv4({}, udpFlow), ipv6({}, udpFlow)].flatMap((frame, index) =>
    [
      [CUSTOMER, CUSTOMER, CUSTOMER],
      [PROVIDER, PROVIDER, PROVIDER],
      [CUSTOMER, PROVIDER, PROVIDER],
    ].flatMap((types) =>
      both(`three tags ${types} around IPv${index ? 6 : 4}`, tags(frame, ...types), "not_ip"),
    ),
  ),
  ...both(
    "three tags, the last cut short",
    truncate(tags(arp(), CUSTOMER, CUSTOMER, CUSTOMER), 22),
    "not_ip",
  ),
]);

table("a tag cut short", [
  ...[14, 15, 16, 17].flatMap((length) =>
    both(`the first, ${length} bytes`, truncate(vlan(ipv4({}, udpFlow)), length), "malformed"),
  ),
  ...[18, 19, 20, 21].flatMap((length) =>
    both(
      `the second, ${length} bytes`,
      truncate(tags(ipv6({}, udpFlow), CUSTOMER, PROVIDER), length),
      "malformed",
    ),
  ),
]);

table("neither TCP nor UDP", [
  ...both("ICMP", ipv4({}, icmp({}, payload(40))), "not_tcp_udp"),
  ...both("ICMPv6", ipv6({}, icmp({}, payload(40))), "not_tcp_udp"),
  ...both("ICMPv6 of nothing", ipv6({}, raw(58)), "not_tcp_udp"),
  ...both("ICMPv6 in a VLAN", vlan(ipv6({}, icmp({}, payload(40)))), "not_tcp_udp"),
  ...[0, 2, 4, 41, 44, 47, 50, 58, 132, 136, 255].flatMap((protocol) =>
    both(`protocol ${protocol}`, ipv4({}, raw(protocol, payload(40))), "not_tcp_udp"),
  ),
  ...[1, 2, 4, 41, 47, 59, 132, 136, 255].flatMap((header) =>
    both(`next header ${header}`, ipv6({}, raw(header, payload(40))), "not_tcp_udp"),
  ),
  ...both("a fragment of ICMP", ipv4({ mf: true }, icmp({}, payload(40))), "not_tcp_udp"),
]);

table(
  "IPv6 with another header in between",
  [0, 43, 50, 51, 60, 135, 139, 140, 253, 254].flatMap((header) => [
    ...both(`${header} before UDP`, ipv6({}, extensionHeader(header, udpFlow)), "extension_header"),
    ...both(
      `${header} before a carrier`,
      ipv6({}, extensionHeader(header, tcpCarrier(CARRIER, udpFlow))),
      "extension_header",
    ),
    ...both(`${header} and nothing`, ipv6({}, raw(header)), "extension_header"),
    ...both(
      `${header} in a VLAN`,
      vlan(ipv6({}, extensionHeader(header, tcpFlow))),
      "extension_header",
    ),
  ]),
);

table("fragments", [
  ...[udpFlow, tcpFlow, tcpCarrier(CARRIER, udpFlow), udpCarrier(CARRIER, tcpFlow)].flatMap(
    (layer, index) => {
      const what = ["UDP", "TCP", "UDP behind a TCP carrier", "TCP behind a UDP carrier"][index];
      return [
        ...both(`first of ${what}`, ipv4({ mf: true }, layer), "fragment"),
        ...both(`middle of ${what}`, ipv4({ mf: true, fragmentOffset: 185 }, layer), "fragment"),
        ...both(`last of ${what}`, ipv4({ fragmentOffset: 370 }, layer), "fragment"),
        ...both(`farthest of ${what}`, ipv4({ fragmentOffset: 0x1fff }, layer), "fragment"),
      ];
    },
  ),
  ...both(
    "too short for a header, as last ones are",
    ipv4({ fragmentOffset: 1 }, raw(17)),
    "fragment",
  ),
  ...both("of IPv6", ipv6({}, extensionHeader(44, udpFlow)), "fragment"),
  ...both(
    "of IPv6, a carrier",
    ipv6({}, extensionHeader(44, tcpCarrier(CARRIER, udpFlow))),
    "fragment",
  ),
  ...both("of IPv6, of nothing", ipv6({}, raw(44)), "fragment"),
  ...both("of IPv6, in a VLAN", vlan(ipv6({}, extensionHeader(44, tcpFlow))), "fragment"),
]);

table("lengths that contradict each other", [
  ...both("IP length longer than the frame", ipv4({ totalLength: 69 }, udpFlow), "malformed"),
  ...both("IP length of all ones", ipv4({ totalLength: 0xffff }, tcpFlow), "malformed"),
  ...both("IP length 0", ipv4({ totalLength: 0 }, tcpFlow), "malformed"),
  ...both("IP length shorter than its header", ipv4({ totalLength: 19 }, tcpFlow), "malformed"),
  ...both("IP length that ends with its header", ipv4({ totalLength: 20 }, tcpFlow), "malformed"),
  ...both("IP length that ends in the UDP header", ipv4({ totalLength: 27 }, udpFlow), "malformed"),
  ...both("IP length that ends in the TCP header", ipv4({ totalLength: 39 }, tcpFlow), "malformed"),
  ...both("header length 4", ipv4({ ihl: 4 }, udpFlow), "malformed"),
  ...both("header length 0", ipv4({ ihl: 0 }, udpFlow), "malformed"),
  ...both(
    "header length behind IP's end",
    ipv4({ ihl: 15, totalLength: 59 }, tcpFlow),
    "malformed",
  ),
  ...both(
    "header length behind the frame's end",
    ipv4({ ihl: 15 }, raw(17, payload(30))),
    "malformed",
  ),
  ...both("version 5", ipv4({ version: 5 }, udpFlow), "malformed"),
  ...both("version 6", ipv4({ version: 6 }, udpFlow), "malformed"),
  ...[0, 7, 8, 47, 49, 65535].flatMap((length) => [
    ...both(`UDP length ${length} of 48`, ipv4({}, udp({ length }, payload(40))), "malformed"),
    ...both(
      `UDP length ${length} of 48, IPv6`,
      ipv6({}, udp({ length }, payload(40))),
      "malformed",
    ),
  ]),
  ...[61, 69, 65535].flatMap((payloadLength) =>
    both(
      `IPv6 length ${payloadLength} longer than the frame`,
      ipv6({ payloadLength }, tcpFlow),
      "malformed",
    ),
  ),
  ...[0, 19].flatMap((payloadLength) =>
    both(
      `IPv6 length ${payloadLength} that ends in the TCP header`,
      ipv6({ payloadLength }, tcpFlow),
      "malformed",
    ),
  ),
  ...[0, 7].flatMap((payloadLength) =>
    both(
      `IPv6 length ${payloadLength} that ends in the UDP header`,
      ipv6({ payloadLength }, udpFlow),
      "malformed",
    ),
  ),
  ...[0, 4, 5, 7, 15].flatMap((version) =>
    both(`IPv6 of version ${version}`, ipv6({ version }, udpFlow), "malformed"),
  ),
  ...both(
    "a fragment of IPv6 longer than the frame",
    ipv6({ payloadLength: 9 }, raw(44, payload(8))),
    "malformed",
  ),
  ...both(
    "UDP length that counts the padding",
    pad(ipv4({}, udp({ length: 58 }, payload(40))), 10),
    "malformed",
  ),
  ...[0, 1, 7].flatMap((length) =>
    both(`UDP of ${length} bytes`, ipv4({}, raw(17, payload(length))), "malformed"),
  ),
  ...[0, 1, 8, 19].flatMap((length) =>
    both(`TCP of ${length} bytes`, ipv4({}, raw(6, payload(length))), "malformed"),
  ),
]);

const WHOLE: readonly (readonly [string, Uint8Array])[] = [
  ["UDP", ipv4({}, udp({}, payload(2)))],
  ["TCP", ipv4({}, tcp({}, payload(2)))],
  ["UDP behind IP options", ipv4({ options: payload(40) }, udp({}, payload(2)))],
  ["UDP behind a TCP carrier", ipv4({}, tcpCarrier(CARRIER, udp({}, payload(2))))],
  ["TCP behind a UDP carrier", ipv4({}, udpCarrier(CARRIER, tcp({}, payload(2))))],
  ["UDP over IPv6", ipv6({}, udp({}, payload(2)))],
  ["TCP over IPv6", ipv6({}, tcp({}, payload(2)))],
  ["UDP behind a TCP carrier over IPv6", ipv6({}, tcpCarrier(CARRIER, udp({}, payload(2))))],
  ["UDP over IPv4 in a VLAN", vlan(ipv4({}, udp({}, payload(2))))],
  ["TCP over IPv6 in two VLANs", tags(ipv6({}, tcp({}, payload(2))), CUSTOMER, PROVIDER)],
];
/** BPF_PROG_TEST_RUN takes IP without a tag only with its whole fixed header. */
const SHORTEST: Readonly<Record<number, number>> = {
  [ETHERTYPE.ipv4]: 34,
  [ETHERTYPE.ipv6]: 54,
  [ETHERTYPE.vlan]: 14,
  [ETHERTYPE.serviceVlan]: 14,
};

table(
  "cut short at every byte",
  WHOLE.flatMap(([what, frame]) => {
    const shortest = SHORTEST[((frame[12] ?? 0) << 8) | (frame[13] ?? 0)] ?? 14;
    return Array.from({ length: frame.length - shortest }, (_, index) => {
      const length = shortest + index;
      return both(
        `${what}, ${length} of ${frame.length} bytes`,
        truncate(frame, length),
        "malformed",
      );
    }).flat();
  }),
);

/** What BPF_PROG_TEST_RUN does not take, no program sees there. */
describe("cut short before the end of the IP header", () => {
  let funnel: Funnel;
  beforeAll(async () => {
    funnel = await Funnel.load(RULES);
  });
  afterAll(() => funnel?.close());

  const frame = ipv4({}, udpFlow);
  const ruleset = { egress: parseRules(RULES.egress), ingress: parseRules(RULES.ingress) };

  const frame6 = ipv6({}, udpFlow);
  it.each([
    [14, frame, 34],
    [15, frame, 34],
    [24, frame, 34],
    [33, frame, 34],
    [14, frame6, 54],
    [34, frame6, 54],
    [53, frame6, 54],
  ])("%i bytes", async (length, whole, shortest) => {
    const short = truncate(whole, length);
    for (const direction of ["egress", "ingress"] as const) {
      expect(simulate(ruleset, short, { direction })).toMatchObject({
        verdict: "pass",
        outcome: "malformed",
        rule: undefined,
      });
      const came = await funnel.testRun(short, { direction }).catch((error: unknown) => error);
      // An old kernel (5.10) hands it to the program, which then has to say the same.
      expect(came).toMatchObject(
        came instanceof SfunnelError
          ? {
              code: "SFUNNEL_FRAME",
              message: expect.stringContaining(`expected at least ${shortest} bytes`),
            }
          : { verdict: "pass", outcome: "malformed", rule: undefined },
      );
    }
  });

  it.each([0, 1, 13])("%i bytes are no frame", async (length) => {
    const before = await funnel.stats();
    for (const direction of ["egress", "ingress"] as const) {
      expect(() => simulate(ruleset, truncate(frame, length), { direction })).toThrow(
        expect.objectContaining({ code: "SFUNNEL_FRAME" }),
      );
      await expect(funnel.testRun(truncate(frame, length), { direction })).rejects.toMatchObject({
        code: "SFUNNEL_FRAME",
      });
    }
    // The refused ones never got to the program.
    expect(await funnel.stats()).toEqual(before);
  });

  it("the whole of it is funneled", async () => {
    const result = await funnel.testRun(frame, { direction: "egress" });
    expect(result.outcome).toBe("funneled");
    // One bit of a kind that parse looks at, to show that the rows above are about that bit.
    const broken = patch(frame, 14, 0x55);
    expect((await funnel.testRun(broken, { direction: "egress" })).outcome).toBe("malformed");
  });
});
