/** Frames whose bytes were worked out by hand, or made by others: the builders are the ground. */

import { describe, expect, it } from "vitest";
import {
  address,
  arp,
  bytes,
  checksumsOf,
  describeFrame,
  hex,
  ipv4,
  ipv6,
  nat,
  pad,
  tcp,
  tcpCarrier,
  udp,
  udpCarrier,
  vlan,
} from "../../support/packet.ts";

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

  it("tag and pad", () => {
    const frame = arp();
    expect(hex(vlan(frame, { id: 5, priority: 7 }).subarray(12, 18))).toBe("8100e0050806");
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
