/** IPv6, as far as it is prepared: `simulate` does not ask for it yet. */

import { describe, expect, it } from "vitest";
import { classify } from "../../../lib/model/classify.ts";
import { pop, push, readCarrier } from "../../../lib/model/encap.ts";
import type { Packet } from "../../../lib/model/frame.ts";
import { simulate } from "../../../lib/model/index.ts";
import { readFrame6 } from "../../../lib/model/ip6.ts";
import { largestSegment } from "../../../lib/model/mss.ts";
import { Replies } from "../../../lib/model/replies.ts";
import { withoutRoom } from "../../../lib/model/room.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import { PAIRS } from "../../support/flows.ts";
import {
  arp,
  type Checksum,
  ethernet,
  FLAG,
  icmp,
  ipv4,
  ipv6,
  type Layer,
  pad,
  patch,
  payload,
  raw,
  tcp,
  tcpCarrier,
  truncate,
  udp,
  udpCarrier,
} from "../../support/packet.ts";

function read(frame: Uint8Array): Packet {
  const packet = readFrame6(frame);
  if (typeof packet === "string") throw new Error(packet);
  return packet;
}

describe("a frame", () => {
  const datagram = ipv6({}, udp({}, payload(20)));
  const NEXT_HEADER = 14 + 6;

  it.each<[string, string, Uint8Array]>([
    ["ARP", "not_ip", arp()],
    ["IPv4", "not_ip", ipv4()],
    ["IPv6 by name only", "malformed", ethernet({ etherType: 0x86dd }, payload(0))],
    ["an IP header cut short", "malformed", truncate(datagram, 53)],
    ["version 4", "malformed", patch(datagram, 14, 0x45)],
    ["a length beyond the frame", "malformed", truncate(datagram, datagram.length - 1)],
    ["a length of 0", "malformed", patch(datagram, 18, 0, 0)],
    ["ICMPv6", "not_tcp_udp", ipv6({}, icmp())],
    ["no next header", "not_tcp_udp", ipv6({}, raw(59))],
    ["SCTP", "not_tcp_udp", ipv6({}, raw(132, payload(20)))],
    ["TCP of 19 bytes", "malformed", ipv6({}, raw(6, payload(19)))],
    ["UDP of 7 bytes", "malformed", ipv6({}, raw(17, payload(7)))],
    ["a UDP length one less", "malformed", ipv6({}, udp({ length: 27 }, payload(20)))],
    ["a UDP length one more", "malformed", ipv6({}, udp({ length: 29 }, payload(20)))],
    ["UDP without a checksum", "malformed", ipv6({}, udp({ checksum: "none" }))],
    ...[0, 43, 44, 50, 51, 60, 135, 139, 140, 253, 254].map(
      (header): [string, string, Uint8Array] => [
        `extension header ${header}`,
        "extension_header",
        patch(datagram, NEXT_HEADER, header),
      ],
    ),
    // The lengths come first, as they do in IPv4.
    ["an extension cut short", "malformed", truncate(patch(datagram, NEXT_HEADER, 44), 60)],
  ])("%s: %s", (_, outcome, frame) => {
    expect(readFrame6(frame)).toBe(outcome);
  });

  it("is taken apart", () => {
    const frame = pad(ipv6({ trafficClass: 0xb9, flowLabel: 0xfffff }, tcp({}, payload(9))), 5, 7);
    const packet = read(frame);
    const { ethernet: mac, ip, transport, padding, totalLength, flow } = packet;
    expect(Uint8Array.from([...mac, ...ip, ...transport, ...padding])).toEqual(frame);
    expect([mac, ip, transport, padding].map(({ length }) => length)).toEqual([14, 40, 29, 5]);
    expect(totalLength).toBe(69);
    expect(flow).toMatchObject({ family: "ip6", transport: "tcp", sport: 40000, dport: 2055 });
    expect(flow.saddr).toEqual(frame.slice(22, 38));
    expect(flow.daddr).toEqual(frame.slice(38, 54));
  });

  it("may have UDP whose checksum is wrong, or came out as 0", () => {
    for (const checksum of [1, 0xffff]) expect(read(ipv6({}, udp({ checksum })))).toBeDefined();
  });
});

describe.each(PAIRS)("$inner over $over", ({ inner, over }) => {
  const CARRIER = { sport: 540, dport: 179 };
  const flow = (length: number, checksum: Checksum = "right"): Layer =>
    inner === "tcp"
      ? tcp({ options: payload(8), checksum }, payload(length))
      : udp({ checksum }, payload(length));
  const carried = (layer: Layer, checksum: Checksum = "right"): Layer =>
    over === "tcp"
      ? tcpCarrier({ ...CARRIER, checksum }, layer)
      : udpCarrier({ ...CARRIER, checksum }, layer);
  const fields = { hopLimit: 1, trafficClass: 0xb8, flowLabel: 0x12345 };

  it.each([0, 1, 2, 3, 4, 5, 31, 1400])("there and back, %i bytes", (length) => {
    const plain = pad(ipv6(fields, flow(length)), 3, 0xee);
    const funneled = pad(ipv6(fields, carried(flow(length))), 3, 0xee);
    expect(push(read(plain), { transport: over, ...CARRIER })).toEqual(funneled);
    const found = readCarrier(read(funneled), inner);
    expect(found && pop(read(funneled), found)).toEqual(plain);
  });

  it("keeps a wrong checksum wrong", () => {
    const wrong = { wrongBy: 0x123 };
    const plain = ipv6({}, flow(33, wrong));
    const funneled = ipv6({}, carried(flow(33, wrong), wrong));
    expect(push(read(plain), { transport: over, ...CARRIER })).toEqual(funneled);
    const found = readCarrier(read(funneled), inner);
    expect(found && pop(read(funneled), found)).toEqual(plain);
  });

  it("is for the addresses that the packet has when it arrives", () => {
    const funneled = read(ipv6({}, carried(flow(33))));
    const to = { src: "2001:db8:1::2", dst: "2001:db8:2::3" };
    const arrived = {
      ...funneled,
      ...read(ipv6(to, raw(over === "tcp" ? 6 : 17, funneled.transport))),
    };
    const found = readCarrier(arrived, inner);
    expect(found && pop(arrived, found)).toEqual(ipv6(to, flow(33)));
  });

  it("has no room beyond what IP can say", () => {
    const size = over === "tcp" ? 20 : 8;
    const header = inner === "tcp" ? 28 : 8;
    const longest = read(ipv6({}, flow(65_535 - size - header)));
    const carrier = { transport: over, ...CARRIER };
    const at = (packet: Packet, mtu: number) =>
      withoutRoom(packet, carrier, { direction: "egress", mtu })?.outcome;
    expect(at(longest, 100_000)).toBeUndefined();
    expect(at(read(ipv6({}, flow(65_536 - size - header))), 100_000)).toBe("too_big");
    expect(at(read(ipv6({}, flow(1500 - 40 - size - header))), 1500)).toBeUndefined();
    expect(at(read(ipv6({}, flow(1501 - 40 - size - header))), 1500)).toBe("too_big");
  });

  it("is remembered apart from IPv4", () => {
    const replies = new Replies();
    const plain = read(ipv6({ src: "::ffff:c000:0201", dst: "::ffff:c633:6407" }, flow(3)));
    const carrier = { transport: over, ...CARRIER };
    replies.rememberFunneled(plain.flow, carrier, "egress");
    expect(replies.isFunneled(plain.flow, carrier, "ingress")).toBe(true);
    expect(replies.isFunneled({ ...plain.flow, family: "ip" }, carrier, "ingress")).toBe(false);
  });
});

it("a carrier of UDP without a checksum is none", () => {
  const carrier = { sport: 540, dport: 179 };
  const none = udp({ checksum: "none" });
  for (const layer of [tcpCarrier(carrier, none), udpCarrier(carrier, none)]) {
    expect(readCarrier(read(ipv6({}, layer)), "udp")).toBeUndefined();
  }
});

it("the largest segment leaves room for the longer header", () => {
  const carrier = { transport: "tcp", sport: 1, dport: 2 } as const;
  expect(largestSegment(1500, "ip6", carrier)).toBe(1420);
  expect(largestSegment(1500, "ip6", { ...carrier, transport: "udp" })).toBe(1432);
  expect(largestSegment(1500, "ip", carrier)).toBe(1440);
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
])("%s", (rules, expected) => {
  expect(classify(parseRules(rules), read(ipv6({}, udp())).flow)).toBe(expected);
});

it("nothing of this is switched on", () => {
  const frame = ipv6({}, tcp({ flags: FLAG.syn }));
  const ruleset = { egress: parseRules("tcp actions drop") };
  expect(simulate(ruleset, frame, { direction: "egress" }).outcome).toBe("not_ip");
});
