/** IPv6, where it is not as IPv4 is, and frames that were worked out by hand. */

import { describe, expect, it } from "vitest";
import { type Outcome, Simulator, simulate } from "../../../lib/model/index.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import { PAIRS } from "../../support/flows.ts";
import {
  bytes,
  type Checksum,
  checksumsOf,
  ethernet,
  extensionHeader,
  FLAG,
  hex,
  icmp,
  icmpChecksumsOf,
  icmpError,
  ipv4,
  ipv6,
  type Layer,
  mss,
  nat,
  pad,
  patch,
  payload,
  quote,
  raw,
  tcp,
  tcpCarrier,
  truncate,
  udp,
  udpCarrier,
  vlan,
} from "../../support/packet.ts";

const EGRESS = { direction: "egress" } as const;
const INGRESS = { direction: "ingress" } as const;

describe("a frame", () => {
  const datagram = ipv6({}, udp({}, payload(20)));
  const NEXT_HEADER = 14 + 6;
  const rules = parseRules("udp actions drop; tcp actions drop");

  it.each<[string, Outcome, Uint8Array]>([
    ["IPv6 by name only", "malformed", ethernet({ etherType: 0x86dd }, payload(0))],
    ["an IP header cut short", "malformed", truncate(datagram, 53)],
    ["version 4", "malformed", patch(datagram, 14, 0x45)],
    ["a length beyond the frame", "malformed", truncate(datagram, datagram.length - 1)],
    ["a length of 0", "malformed", patch(datagram, 18, 0, 0)],
    ["ICMPv6", "not_tcp_udp", ipv6({}, icmp())],
    ["ICMP", "not_tcp_udp", ipv6({ nextHeader: 1 }, icmp())],
    ["no next header", "not_tcp_udp", ipv6({}, raw(59))],
    ["SCTP", "not_tcp_udp", ipv6({}, raw(132, payload(20)))],
    ["TCP of 19 bytes", "malformed", ipv6({}, raw(6, payload(19)))],
    ["UDP of 7 bytes", "malformed", ipv6({}, raw(17, payload(7)))],
    ["a UDP length one less", "malformed", ipv6({}, udp({ length: 27 }, payload(20)))],
    ["a UDP length one more", "malformed", ipv6({}, udp({ length: 29 }, payload(20)))],
    ["a jumbogram", "malformed", ipv6({ payloadLength: 0 }, udp({}, payload(20)))],
    ["a fragment", "fragment", ipv6({}, extensionHeader(44, udp()))],
    ["a fragment of nothing", "fragment", ipv6({}, raw(44))],
    ...[0, 43, 50, 51, 60, 135, 139, 140, 253, 254].map((header): [string, Outcome, Uint8Array] => [
      `extension header ${header}`,
      "extension_header",
      ipv6({}, extensionHeader(header, udp({}, payload(20)))),
    ]),
    // The lengths come first, as they do in IPv4.
    ["a fragment cut short", "malformed", truncate(patch(datagram, NEXT_HEADER, 44), 60)],
  ])("%s: %s", (_, outcome, frame) => {
    for (const tagged of [frame, vlan(frame), vlan(vlan(frame))]) {
      expect(simulate({ egress: rules }, tagged, EGRESS)).toEqual({
        verdict: "pass",
        outcome,
        rule: undefined,
        frame: tagged,
      });
    }
  });

  it.each([0, 1, 0xffff])("may have UDP whose checksum is %i", (checksum) => {
    const frame = ipv6({}, udp({ checksum }));
    expect(simulate({ egress: rules }, frame, EGRESS).outcome).toBe("dropped");
  });
});

it("is funneled to bytes that were worked out by hand", () => {
  const egress = parseRules("udp dport 2055 actions funnel udp dport 179 sport 540");
  const { frame } = simulate({ egress }, ipv6({}, udp()), EGRESS);
  // Of the carrier: the addresses 5b7a, length 0010, protocol 0011, header 021c 00b3 0010, and the
  // complement of the flow's pseudo header, length 0008 and protocol 0011: ffe6. Of the flow: 0008
  // and 0011 again, header 9c40 0807 0008.
  expect(hex(frame)).toBe(
    hex(
      bytes(
        "020000000002 020000000001 86dd 60000000 0010 11 40",
        "20010db8000000000000000000000001",
        "20010db8000000000000000000000007",
        "021c 00b3 0010 a19e",
        "9c40 0807 0008 5b97",
      ),
    ),
  );
});

describe.each(PAIRS)("$inner over $over", ({ inner, over }) => {
  const CARRIER = { sport: 540, dport: 179 };
  const ruleset = {
    egress: parseRules(`${inner} actions funnel ${over} dport 179 sport 540`),
    ingress: parseRules(`${over} dport 179 actions unfunnel ${inner}`),
  };
  const flow = (length: number, checksum: Checksum = "right"): Layer =>
    inner === "tcp"
      ? tcp({ options: payload(8), checksum }, payload(length))
      : udp({ checksum }, payload(length));
  const carried = (layer: Layer, checksum: Checksum = "right"): Layer =>
    over === "tcp"
      ? tcpCarrier({ ...CARRIER, checksum }, layer)
      : udpCarrier({ ...CARRIER, checksum }, layer);
  const fields = { hopLimit: 1, trafficClass: 0xb8, flowLabel: 0x12345 };
  const thereAndBack = (plain: Uint8Array, funneled: Uint8Array) => {
    expect(simulate(ruleset, plain, EGRESS).frame).toEqual(funneled);
    expect(simulate(ruleset, funneled, INGRESS).frame).toEqual(plain);
  };

  it.each([0, 1, 2, 3, 4, 5, 31, 1400])("there and back, %i bytes", (length) => {
    const plain = pad(ipv6(fields, flow(length)), 3, 0xee);
    const funneled = pad(ipv6(fields, carried(flow(length))), 3, 0xee);
    thereAndBack(plain, funneled);
    thereAndBack(vlan(plain), vlan(funneled));
    const service = { etherType: 0x88a8 };
    thereAndBack(vlan(vlan(plain), service), vlan(vlan(funneled), service));
  });

  it("keeps a wrong checksum wrong", () => {
    const wrong = { wrongBy: 0x123 };
    thereAndBack(ipv6({}, flow(33, wrong)), ipv6({}, carried(flow(33, wrong), wrong)));
  });

  it("is for the addresses that the packet has when it arrives", () => {
    const to = { src: "2001:db8:1::2", dst: "2001:db8:2::3" };
    const arrived = nat(ipv6({}, carried(flow(33))), to);
    expect(simulate(ruleset, arrived, INGRESS).frame).toEqual(ipv6(to, flow(33)));
  });

  it("is remembered apart from IPv4", () => {
    const simulator = new Simulator({ egress: ruleset.egress });
    const mapped = { src: "::ffff:c000:0201", dst: "::ffff:c633:6407" };
    simulator.run(ipv6(mapped, flow(3)), EGRESS);
    const back = { src: mapped.dst, dst: mapped.src };
    const ports = { sport: 179, dport: 540 };
    const reply = inner === "tcp" ? tcp : udp;
    const answer = (layer = reply({ sport: 2055, dport: 40000 })) =>
      over === "tcp" ? tcpCarrier(ports, layer) : udpCarrier(ports, layer);
    expect(simulator.run(ipv6(back, answer()), INGRESS).outcome).toBe("reply_unfunneled");
    const other = { src: "198.51.100.7", dst: "192.0.2.1" };
    expect(simulator.run(ipv4(other, answer()), INGRESS).outcome).toBe("no_match");
  });
});

it("UDP without a checksum has none on the way either (RFC 6935)", () => {
  const ruleset = {
    egress: parseRules("udp actions funnel tcp dport 179 sport 540"),
    ingress: parseRules("tcp dport 179 actions unfunnel udp"),
  };
  const frame = ipv6({}, udp({ checksum: "none" }, payload(33)));
  const funneled = simulate(ruleset, frame, EGRESS);
  expect(checksumsOf(funneled.frame, "udp")).toEqual({ outer: "right", inner: "none" });
  expect(simulate(ruleset, funneled.frame, INGRESS).frame).toEqual(frame);
});

it("the largest segment leaves room for the longer header", () => {
  const syn = (size: number) => ipv6({}, tcp({ flags: FLAG.syn, options: mss(size) }));
  const sizeUnder = (over: string, mtu?: number) => {
    const egress = parseRules(`tcp actions funnel ${over} dport 179 sport 540`);
    const mtuIs = mtu === undefined ? {} : { mtu };
    const { frame } = simulate({ egress }, syn(65_535), { ...EGRESS, ...mtuIs });
    return ((frame.at(-2) ?? 0) << 8) | (frame.at(-1) ?? 0);
  };
  expect(sizeUnder("tcp", 1500)).toBe(1420);
  expect(sizeUnder("udp", 1500)).toBe(1432);
  expect(sizeUnder("tcp")).toBe(16_000 - 80);
});

describe("a packet that is too big", () => {
  const egress = parseRules("udp actions funnel tcp dport 179 sport 540");
  const packet = (length: number, dst = "2001:db8::7") =>
    ipv6({ dst, trafficClass: 0xb8, flowLabel: 7 }, udp({}, payload(length - 48)));
  const run = (frame: Uint8Array, mtu: number) => simulate({ egress }, frame, { ...EGRESS, mtu });

  it("is answered by bytes that were worked out by hand", () => {
    const frame = packet(1481);
    const { verdict, outcome, frame: error } = run(frame, 1500);
    expect({ verdict, outcome }).toEqual({ verdict: "drop", outcome: "too_big_reported" });
    const expected = bytes(
      "020000000001 020000000002 86dd 60000000 0070 3a 40",
      "20010db8000000000000000000000007",
      "20010db8000000000000000000000001",
      "0200",
    );
    expect(hex(error.subarray(0, 56))).toBe(hex(expected));
    // 1500 less 20.
    expect(hex(error.subarray(58, 62))).toBe("000005c8");
    expect(error.subarray(62)).toEqual(frame.subarray(14, 14 + 104));
    expect(icmpChecksumsOf(error).message).toBe("right");
  });

  it.each([
    ["that just fits", packet(1480), 1500, "funneled"],
    ["to many", packet(1481, "ff02::1"), 1500, "too_big"],
    ["to what is next to many", packet(1481, "feff::1"), 1500, "too_big_reported"],
    ["for the least that is heeded", packet(1281), 1300, "too_big_reported"],
    ["for less than is heeded", packet(1281), 1299, "too_big"],
    ["in a VLAN", vlan(packet(1481), { id: 9 }), 1500, "too_big_reported"],
  ])("%s", (_, frame, mtu, outcome) => {
    expect(run(frame, mtu).outcome).toBe(outcome);
  });

  it("is answered in its own VLANs", () => {
    const tags = (frame: Uint8Array) => vlan(vlan(frame, { id: 9 }), { id: 8, etherType: 0x88a8 });
    const plain = run(packet(1481), 1500).frame;
    const { frame } = run(tags(packet(1481)), 1500);
    expect(frame).toEqual(tags(plain));
  });
});

describe("an error", () => {
  const client = (over: string) => {
    const egress = parseRules(`udp actions funnel ${over} dport 179 sport 540`);
    const simulator = new Simulator({ egress });
    simulator.run(ipv6({}, udp({}, payload(40))), EGRESS);
    return simulator;
  };
  const pod = (over: string) => {
    const ingress = parseRules(`${over} dport 179 actions unfunnel udp`);
    const simulator = new Simulator({ ingress });
    simulator.run(carried(over), INGRESS);
    return simulator;
  };
  const carried = (over: string) => {
    const carrier = over === "tcp" ? tcpCarrier : udpCarrier;
    return ipv6({}, carrier({ sport: 540, dport: 179 }, udp({}, payload(40))));
  };
  const own = ipv6({}, udp({}, payload(40)));
  const error = (told: Parameters<typeof icmpError>[0], about: Uint8Array) =>
    ipv6({ src: "2001:db8::99", dst: "2001:db8::1" }, icmpError(told, quote(about)));

  it.each([
    [0, 0, 0],
    [68, 68, 88],
    [1279, 1279, 1299],
    [1280, 1280, 1300],
    [1299, 1280, 1319],
    [1300, 1280, 1320],
    [1301, 1281, 1321],
    [65_515, 65_495, 65_535],
    [65_516, 65_496, 65_516],
    [0xffffffff, 0xffffffeb, 0xffffffff],
  ])("that tells %i is about %i without and %i with a carrier", (mtu, less, more) => {
    expect(client("tcp").run(error({ mtu }, carried("tcp")), INGRESS)).toMatchObject({
      outcome: "error_unfunneled",
      frame: error({ mtu: less }, own),
    });
    expect(pod("tcp").run(error({ mtu }, own), EGRESS)).toMatchObject({
      outcome: "error_funneled",
      frame: error({ mtu: more }, carried("tcp")),
    });
  });

  it.each([
    // Over UDP the quote grows by one word of eight bytes.
    [1, "udp", 0, 0, 0],
    [1, "udp", 1, 1, 2],
    [3, "udp", 2, 1, 3],
    [3, "udp", 254, 253, 255],
    [1, "udp", 255, 254, 255],
    // Over TCP it does not grow by whole ones.
    [1, "tcp", 0, 0, 0],
    [1, "tcp", 12, 0, 0],
    [3, "tcp", 255, 0, 0],
    // Other types have no length there.
    [4, "tcp", 12, 12, 12],
    [4, "udp", 12, 12, 12],
  ])("of type %i about %s whose quote has %i words (RFC 4884)", (type, over, came, less, more) => {
    const told = (words: number) => ({ type, code: 0, unused: words << 8, mtu: 0x0123 });
    expect(client(over).run(error(told(came), carried(over)), INGRESS)).toMatchObject({
      outcome: "error_unfunneled",
      frame: error(told(less), own),
    });
    expect(pod(over).run(error(told(came), own), EGRESS)).toMatchObject({
      outcome: "error_funneled",
      frame: error(told(more), carried(over)),
    });
  });

  it("of ICMP for IPv4 is none, and one that quotes IPv4", () => {
    const asIcmp = ipv6({ nextHeader: 1 }, icmpError({}, quote(own)));
    const others = [asIcmp, error({}, ipv4({}, udp({}, payload(40))))];
    for (const frame of others) expect(pod("tcp").run(frame, EGRESS).outcome).toBe("not_tcp_udp");
  });

  it("whose checksum leaves out the addresses is none", () => {
    const frame = error({ mtu: 1400 }, own);
    frame[37] = 0x98;
    expect(pod("tcp").run(frame, EGRESS)).toMatchObject({ outcome: "not_tcp_udp", frame });
  });
});

it.each([
  ["udp actions drop", 0],
  ["ip6 udp actions drop", 0],
  ["ip udp actions drop", undefined],
  ["ip6 saddr 2001:db8::/32 udp actions drop", 0],
  ["ip6 saddr 2001:db9::/32 udp actions drop", undefined],
  ["ip6 daddr != 2001:db8::1 udp actions drop", 0],
  ["ip saddr 0.0.0.0/0 udp actions drop", undefined],
  ["ip saddr != 10.0.0.0/8 udp actions drop", undefined],
  ["tcp actions drop", undefined],
])("%s", (rules, rule) => {
  expect(simulate({ egress: parseRules(rules) }, ipv6({}, udp()), EGRESS).rule).toBe(rule);
});
