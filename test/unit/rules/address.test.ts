import { describe, expect, it } from "vitest";
import {
  addressBytes,
  formatAddress,
  formatPrefix,
  maskAddress,
  parseAddress,
  parsePrefix,
  prefixBytes,
  RuleError,
} from "../../../lib/rules/index.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("parseAddress", () => {
  it.each([
    ["0.0.0.0", "00000000"],
    ["255.255.255.255", "ffffffff"],
    ["10.0.0.1", "0a000001"],
  ])("reads IPv4 %s", (text, bytes) => {
    const address = parseAddress(text);
    expect(address?.family).toBe("ip");
    expect(hex(address?.bytes ?? new Uint8Array())).toBe(bytes);
    expect(formatAddress(address?.bytes ?? new Uint8Array())).toBe(text);
  });

  it.each([
    "",
    "1",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "01.2.3.4",
    "1.2.3.00",
    "1..2.3",
    ".1.2.3",
    "1.2.3.",
    "1.2.3.4 ",
    "0x7f.0.0.1",
    "-1.2.3.4",
    "1.2.3.4/8",
    "١.٢.٣.٤",
  ])("refuses %j as IPv4", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  // Left as written, right as RFC 5952 has it.
  it.each([
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8::0001", "2001:db8::1"],
    ["2001:0db8:0000:0000:0000:0000:0002:0001", "2001:db8::2:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["::ffff:192.0.2.1", "::ffff:192.0.2.1"],
    ["::ffff:c000:201", "::ffff:192.0.2.1"],
    ["::ffff:0:1.2.3.4", "::ffff:0:102:304"],
  ])("reads IPv6 %s", (text, canonical) => {
    const address = parseAddress(text);
    expect(address?.family).toBe("ip6");
    expect(formatAddress(address?.bytes ?? new Uint8Array())).toBe(canonical);
  });

  it.each([
    ":",
    ":::",
    "1:::2",
    ":1::",
    "1:",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "12345::",
    "g::",
    "::1.2.3",
    "::1.2.3.4:5",
    "1.2.3.4::",
    "::01.2.3.4",
    "1:2:3:4:5:6:7:1.2.3.4",
    "fe80::1%eth0",
    `${"0:".repeat(60)}1`,
  ])("refuses %j as IPv6", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });
});

describe("parsePrefix", () => {
  it.each([
    ["10.1.2.3", "ip", "10.1.2.3", 32, false],
    ["48.25.115.78/24", "ip", "48.25.115.0", 24, true],
    ["10.0.0.0/8", "ip", "10.0.0.0", 8, false],
    ["255.255.255.255/1", "ip", "128.0.0.0", 1, true],
    ["1.2.3.4/0", "ip", "0.0.0.0", 0, true],
    ["2001:db8::1", "ip6", "2001:db8::1", 128, false],
    ["2001:db8:ffff::/33", "ip6", "2001:db8:8000::", 33, true],
    ["::/0", "ip6", "::", 0, false],
    ["::ffff:1.2.3.4/90", "ip6", "::ffc0:0:0", 90, true],
  ])("reads %s", (text, family, address, length, hostBits) => {
    expect(parsePrefix(text)).toEqual({ family, prefix: { address, length }, hostBits });
  });

  it.each([
    ["10.0.0.0/33", "a prefix length is a number from 0 to 32"],
    ["10.0.0.0/08", "a prefix length is a number from 0 to 32"],
    ["10.0.0.0/", "a prefix length is a number from 0 to 32"],
    ["10.0.0.0/8/8", "a prefix length is a number from 0 to 32"],
    ["10.0.0.0/255.0.0.0", "a prefix length is a number from 0 to 32"],
    ["::/129", "a prefix length is a number from 0 to 128"],
    ["::ffff:1.2.3.4", "an IPv4-mapped address; packets carry 1.2.3.4"],
    ["::ffff:10.0.0.0/104", "an IPv4-mapped address; packets carry 10.0.0.0/8"],
    ["10.0.0/8", "an IPv4 address has four numbers"],
    ["010.0.0.1", "a number of an IPv4 address has no leading zero"],
    ["10.0.0.256", "a number of an IPv4 address is 255 at most"],
    ["fe80::1%eth0", "a zone cannot be matched"],
    ["localhost", undefined],
  ])("refuses %s", (text, problem) => {
    expect(parsePrefix(text)).toEqual({ problem });
  });

  it("formats whole addresses without a length", () => {
    expect(formatPrefix({ address: "10.0.0.1", length: 32 })).toBe("10.0.0.1");
    expect(formatPrefix({ address: "::1", length: 128 })).toBe("::1");
    expect(formatPrefix({ address: "::", length: 32 })).toBe("::/32");
  });
});

describe("bytes for map keys", () => {
  it("maps IPv4 into ::ffff:0:0/96", () => {
    expect(hex(addressBytes("10.0.0.1"))).toBe("00000000000000000000ffff0a000001");
    expect(hex(addressBytes("2001:db8::1"))).toBe("20010db8000000000000000000000001");
  });

  it("lengthens IPv4 prefixes by 96 bits", () => {
    const { address, length } = prefixBytes({ address: "10.0.0.0", length: 8 }, "ip");
    expect(hex(address)).toBe("00000000000000000000ffff0a000000");
    expect(length).toBe(104);
    expect(prefixBytes({ address: "::", length: 0 }, "ip6").length).toBe(0);
  });

  it("refuses what is no address, and the other family", () => {
    expect(() => addressBytes("10.0.0.01")).toThrow(RuleError);
    expect(() => addressBytes("10.0.0.01")).toThrow(
      'expected an address, found "10.0.0.01" (a number of an IPv4 address has no leading zero)',
    );
    expect(() => prefixBytes({ address: "::", length: 0 }, "ip")).toThrow(RuleError);
  });

  it("masks any number of bits", () => {
    const ones = new Uint8Array(4).fill(255);
    expect([0, 1, 8, 9, 31, 32].map((length) => hex(maskAddress(ones, length)))).toEqual([
      "00000000",
      "80000000",
      "ff000000",
      "ff800000",
      "fffffffe",
      "ffffffff",
    ]);
  });
});
