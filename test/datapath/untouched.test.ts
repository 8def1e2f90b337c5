/** What no rule is asked about: it passes byte for byte, and is counted under its own name. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Funnel, parseRules } from "../../lib/index.ts";
import { type Outcome, simulate } from "../../lib/model/index.ts";
import type { Direction } from "../../lib/rules/types.ts";
import {
  arp,
  ethernet,
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

table("not IPv4", [
  ...both("ARP", arp(), "not_ip"),
  ...both("IPv6, UDP", ipv6({}, udpFlow), "not_ip"),
  ...both("IPv6, TCP", ipv6({}, tcpFlow), "not_ip"),
  ...both("a VLAN tag in the frame", vlan(ipv4({}, udpFlow)), "not_ip"),
  ...both("MPLS", ethernet({ etherType: 0x8847 }, payload(60)), "not_ip"),
  ...both("nothing but an Ethernet header", ethernet({ etherType: 0x88b5 }, payload(0)), "not_ip"),
]);

table("neither TCP nor UDP", [
  ...both("ICMP", ipv4({}, icmp({}, payload(40))), "not_tcp_udp"),
  ...[0, 2, 4, 41, 47, 50, 132, 136, 255].flatMap((protocol) =>
    both(`protocol ${protocol}`, ipv4({}, raw(protocol, payload(40))), "not_tcp_udp"),
  ),
  ...both("a fragment of ICMP", ipv4({ mf: true }, icmp({}, payload(40))), "not_tcp_udp"),
]);

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
  ...[0, 7, 8, 47, 49, 65535].flatMap((length) =>
    both(`UDP length ${length} of 48`, ipv4({}, udp({ length }, payload(40))), "malformed"),
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
];
const ETHERNET_AND_IP = 34;

table(
  "cut short at every byte",
  WHOLE.flatMap(([what, frame]) =>
    Array.from({ length: frame.length - ETHERNET_AND_IP }, (_, index) => {
      const length = ETHERNET_AND_IP + index;
      return both(
        `${what}, ${length} of ${frame.length} bytes`,
        truncate(frame, length),
        "malformed",
      );
    }).flat(),
  ),
);

/** BPF_PROG_TEST_RUN takes IPv4 only with its 20 fixed bytes; no program sees less there. */
describe("cut short before the end of the IP header", () => {
  let funnel: Funnel;
  beforeAll(async () => {
    funnel = await Funnel.load(RULES);
  });
  afterAll(() => funnel?.close());

  const frame = ipv4({}, udpFlow);
  const ruleset = { egress: parseRules(RULES.egress), ingress: parseRules(RULES.ingress) };

  it.each([14, 15, 24, 33])("%i bytes", async (length) => {
    const short = truncate(frame, length);
    for (const direction of ["egress", "ingress"] as const) {
      expect(simulate(ruleset, short, { direction })).toMatchObject({
        verdict: "pass",
        outcome: "malformed",
        rule: undefined,
      });
      await expect(funnel.testRun(short, { direction })).rejects.toMatchObject({
        code: "SFUNNEL_FRAME",
        message: expect.stringContaining(`expected at least 34 bytes`),
      });
    }
  });

  it.each([0, 1, 13])("%i bytes are no frame", async (length) => {
    for (const direction of ["egress", "ingress"] as const) {
      expect(() => simulate(ruleset, truncate(frame, length), { direction })).toThrow(
        expect.objectContaining({ code: "SFUNNEL_FRAME" }),
      );
      await expect(funnel.testRun(truncate(frame, length), { direction })).rejects.toMatchObject({
        code: "SFUNNEL_FRAME",
      });
    }
    // The refused ones never got to the program.
    const { ingress, egress } = await funnel.stats();
    for (const { outcomes } of [ingress, egress]) {
      expect(Object.values(outcomes).every(({ packets }) => packets === 0)).toBe(true);
    }
  });

  it("the whole of it is funneled", async () => {
    const result = await funnel.testRun(frame, { direction: "egress" });
    expect(result.outcome).toBe("funneled");
    // One bit of a kind that parse looks at, to show that the rows above are about that bit.
    const broken = patch(frame, 14, 0x55);
    expect((await funnel.testRun(broken, { direction: "egress" })).outcome).toBe("malformed");
  });
});
