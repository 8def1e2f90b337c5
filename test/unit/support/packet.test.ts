/** Frames whose bytes were worked out by hand, or made by others: the builders are the ground. */

import { describe, expect, it } from "vitest";
import {
  address,
  arp,
  bytes,
  type Checksum,
  checksumsOf,
  contentStart,
  describeFrame,
  extensionHeader,
  hex,
  type Ipv4Fields,
  icmp,
  icmpChecksumsOf,
  icmpError,
  ipv4,
  ipv6,
  nat,
  pad,
  payload,
  quote,
  tcp,
  tcpCarrier,
  transportOf,
  udp,
  udpCarrier,
  vlan,
} from "../../support/packet.ts";
import { spoiltChecksums } from "../../support/right-checksums.ts";

const MACS = "020000000002 020000000001";

describe("builders", () => {
  it("make the first vector of the original, flow and carrier", () => {
    const ip = { src: "122.162.158.204", dst: "48.25.115.78", tos: 0xb8, id: 0xcad5, ttl: 153 };
    const flow = udp({ sport: 0xa385, dport: 443 }, bytes(0x15));
    expect(hex(ipv4(ip, flow))).toBe(
      "020000000002020000000001080045b8001dcad500009911996c7aa29ecc3019734ea38501bb000988c515",
    );
    expect(hex(ipv4(ip, udpCarrier({ sport: 12102, dport: 179 }, flow)))).toBe(
      "020000000002020000000001080045b80025cad50000991199647aa29ecc3019734e2f4600b300111317a38501bb0009459c15",
    );
  });

  it("sum IPv6 with its pseudo header", () => {
    // By hand: the addresses 5b7a, length 0008, protocol 0011, header 9c40 0807 0008: ffe2.
    const frame = ipv6({}, udp());
    expect(hex(frame)).toBe(
      hex(
        bytes(
          MACS,
          "86dd 60000000 0008 11 40",
          "20010db8000000000000000000000001",
          "20010db8000000000000000000000007",
          "9c40 0807 0008 001d",
        ),
      ),
    );
  });

  it("sum ICMPv6 with its pseudo header, ICMP without", () => {
    // By hand: the addresses 5b7a, length 0008, protocol 003a; type 8000, rest 0001 0001: dbbe.
    expect(hex(ipv6({}, icmp()).subarray(20, 21))).toBe("3a");
    expect(hex(ipv6({}, icmp()).subarray(54))).toBe("8000244100010001");
    // Type 0800, rest 0001 0001: 0802.
    expect(hex(ipv4({}, icmp()).subarray(34))).toBe("0800f7fd00010001");
  });

  it("make errors of either version, with quotes of packets in VLANs too", () => {
    const about = vlan(vlan(pad(ipv6({}, udp({}, payload(9))), 4)), { etherType: 0x88a8 });
    expect(hex(quote(about))).toBe(hex(ipv6({}, udp({}, payload(9))).subarray(14)));
    expect(quote(about, 3)).toHaveLength(43);
    const error = ipv6({}, icmpError({ mtu: 0x12345 }, quote(about)));
    expect(hex(error.subarray(54, 56))).toBe("0200");
    expect(hex(error.subarray(58, 62))).toBe("00012345");
    expect(icmpChecksumsOf(error)).toEqual({ message: "right", quotedIp: undefined });
    const error4 = ipv4({}, icmpError({ mtu: 1400, unused: 7 }, quote(ipv4({ checksum: 1 }))));
    expect(hex(error4.subarray(34, 36))).toBe("0304");
    expect(hex(error4.subarray(38, 42))).toBe("00070578");
    expect(icmpChecksumsOf(error4)).toEqual({ message: "right", quotedIp: "wrong" });
    error4[41] = 0;
    expect(icmpChecksumsOf(error4).message).toBe("wrong");
  });

  it("put IPv6 headers in between", () => {
    const frame = ipv6({}, extensionHeader(60, udp(), payload(14)));
    expect(hex(frame.subarray(18, 21))).toBe("00183c");
    expect(hex(frame.subarray(54, 56))).toBe("1101");
    expect(hex(frame.subarray(70))).toBe(hex(ipv6({}, udp()).subarray(54)));
  });

  it("tag and pad", () => {
    const frame = arp();
    expect(hex(vlan(frame, { id: 5, priority: 7 }).subarray(12, 18))).toBe("8100e0050806");
    const twice = vlan(vlan(frame), { id: 6, etherType: 0x88a8 });
    expect(hex(twice.subarray(12, 22))).toBe("88a80006810000640806");
    expect(contentStart(twice)).toBe(22);
    // A third is not looked behind.
    expect(contentStart(vlan(twice))).toBe(22);
    expect(pad(frame, 18)).toHaveLength(60);
    expect(frame).toHaveLength(42);
  });

  it("read addresses", () => {
    expect(hex(address("::"))).toBe("0".repeat(32));
    expect(hex(address("2001:db8::a:1"))).toBe("20010db80000000000000000000a0001");
    expect(hex(address("1:2:3:4:5:6:7:8"))).toBe("00010002000300040005000600070008");
    expect(hex(address("192.0.2.1"))).toBe("c0000201");
  });
});

describe("checksumsOf", () => {
  it("tells right from wrong from none, each by itself", () => {
    const carrier = { sport: 540, dport: 80 };
    const state = (frame: Uint8Array) => checksumsOf(frame, "udp");
    const right = { ip: "right", outer: "right", inner: "right" };
    expect(state(ipv4({}, tcpCarrier(carrier, udp())))).toEqual(right);
    expect(state(ipv4({ checksum: 1 }, tcpCarrier(carrier, udp())))).toEqual({
      ...right,
      ip: "wrong",
    });
    expect(state(ipv4({}, tcpCarrier({ ...carrier, checksum: { wrongBy: 1 } }, udp())))).toEqual({
      ...right,
      outer: "wrong",
    });
    expect(state(ipv4({}, udpCarrier({ ...carrier, checksum: "none" }, udp())))).toEqual({
      ...right,
      outer: "none",
    });
    // The carrier sums what is there, a wrong checksum included.
    expect(state(ipv4({}, tcpCarrier(carrier, udp({ checksum: { wrongBy: 1 } }))))).toEqual({
      ...right,
      inner: "wrong",
    });
    expect(state(ipv4({}, tcpCarrier(carrier, udp({ checksum: "none" }))))).toEqual({
      ...right,
      inner: "none",
    });
  });

  it("looks into IPv6 and VLANs as well", () => {
    const carrier = { sport: 540, dport: 80 };
    const frames = (checksum: Checksum) => {
      const frame = ipv6({}, udpCarrier(carrier, tcp({ checksum }, payload(5))));
      return [frame, vlan(frame), vlan(vlan(pad(frame, 3)))];
    };
    for (const frame of frames("right")) {
      expect(checksumsOf(frame, "tcp")).toEqual({ outer: "right", inner: "right" });
      expect(transportOf(frame)).toBe("udp");
    }
    for (const frame of frames({ wrongBy: 1 })) {
      expect(checksumsOf(frame, "tcp")).toEqual({ outer: "right", inner: "wrong" });
    }
    const frame = vlan(ipv4({ checksum: 1 }, tcpCarrier(carrier, udp({ checksum: "none" }))));
    expect(checksumsOf(frame, "udp")).toEqual({ ip: "wrong", outer: "right", inner: "none" });
  });

  it("says nothing of what is not there", () => {
    expect(checksumsOf(arp())).toEqual({ ip: undefined, outer: undefined, inner: undefined });
    expect(checksumsOf(ipv4({ mf: true }))).toEqual({
      ip: "right",
      outer: undefined,
      inner: undefined,
    });
    expect(checksumsOf(ipv4({}, udp()), "udp")).toEqual({
      ip: "right",
      outer: "right",
      inner: undefined,
    });
  });
});

it("nat leaves right checksums, and none where there was none", () => {
  const to = { src: "10.0.0.1", dst: "10.0.0.2", sport: 1, dport: 2 };
  expect(nat(ipv4({}, tcp({ sport: 9, dport: 9 })), to)).toEqual(
    ipv4(to, tcp({ sport: 1, dport: 2 })),
  );
  expect(nat(ipv4({}, udp({ checksum: "none" })), { src: to.src })).toEqual(
    ipv4({ src: to.src }, udp({ checksum: "none" })),
  );
});

it("nat does the same to IPv6, and in VLANs", () => {
  const to = { src: "fd00::1", dst: "fd00::2", sport: 1, dport: 2 };
  const frame = vlan(ipv6({}, tcp({ sport: 9, dport: 9 })));
  expect(nat(frame, to)).toEqual(vlan(ipv6(to, tcp({ sport: 1, dport: 2 }))));
});

it("spoiltChecksums names what was right and is not any more", () => {
  const carrier = { sport: 540, dport: 80 };
  const plain = ipv4({}, udp({}, payload(5)));
  const spoilt = (ip: Ipv4Fields, outer: Checksum, inner: Checksum) => {
    const layer = tcpCarrier({ ...carrier, checksum: outer }, udp({ checksum: inner }, payload(5)));
    return spoiltChecksums("funneled", plain, ipv4(ip, layer));
  };
  const wrong = { wrongBy: 1 };
  expect(spoilt({}, "right", "right")).toEqual([]);
  expect(spoilt({ checksum: 1 }, "right", "right")).toEqual(["IP was right and is wrong"]);
  expect(spoilt({}, wrong, "right")).toEqual(["carrier was right and is wrong"]);
  expect(spoilt({}, "right", wrong)).toEqual(["flow was right and is wrong"]);
  expect(spoilt({}, "right", "none")).toEqual(["flow was right and is none"]);
  const carried = ipv6({}, udpCarrier(carrier, tcp()));
  const popped = (checksum: Checksum) =>
    spoiltChecksums("unfunneled", carried, ipv6({}, tcp({ checksum })));
  expect(popped("right")).toEqual([]);
  expect(popped(wrong)).toEqual(["flow was right and is wrong"]);
  const error = (checksum: Checksum) => ipv6({}, icmpError({ checksum }, quote(plain)));
  expect(spoiltChecksums("error_funneled", error("right"), error(wrong))).toEqual([
    "ICMP was right and is wrong",
  ]);
  expect(spoiltChecksums("too_big_reported", carried, error(wrong))).toEqual([
    "ICMP was right and is wrong",
  ]);
});

it("describeFrame says what is in a frame of IPv6 in a VLAN", () => {
  const frame = vlan(ipv6({ flowLabel: 5 }, udpCarrier({ sport: 540, dport: 80 }, udp())), {
    id: 9,
  });
  expect(describeFrame(frame, "udp")).toMatchInlineSnapshot(`
    "ethernet 020000000001 > 020000000002 type 0x81000009 0x86dd, frame of 74 bytes
    ip6 2001:0db8:0000:0000:0000:0000:0000:0001 > 2001:0db8:0000:0000:0000:0000:0000:0007 version 6 class 0 label 5 payload 16 next 17 hops 64
    udp 540 > 80 length 16 checksum 0xa201 right
    udp 40000 > 2055 length 8 checksum 0x5b97 right"
  `);
});

it("describeFrame says what is in a frame", () => {
  const frame = pad(
    ipv4({ df: true }, tcpCarrier({ sport: 540, dport: 80 }, udp({}, bytes("abcd")))),
    2,
  );
  expect(describeFrame(frame, "udp")).toMatchInlineSnapshot(`
    "ethernet 020000000001 > 020000000002 type 0x0800, frame of 66 bytes
    ip 192.0.2.1 > 198.51.100.7 version 4 ihl 5 tos 0 total 50 id 0x1234 flags DF offset 0 ttl 64 protocol 6 checksum 0x3c56 right
    tcp 540 > 80 seq 0xcafebabe ack 0xbabecafe offset 5 reserved 0 flags 0x02 SYN window 1024 urgent 0 checksum 0xb1d0 right
    udp 40000 > 2055 length 10 checksum 0xafc5 right
    2 bytes
      abcd
    padding 2 bytes
      0000"
  `);
});
