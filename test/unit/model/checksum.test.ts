import { describe, expect, it } from "vitest";
import {
  checksumOfSum,
  onesComplementSum,
  pseudoHeader,
  subtractSum,
  updateChecksum,
} from "../../../lib/model/checksum.ts";
import { address, bytes } from "../../support/packet.ts";

describe("onesComplementSum", () => {
  it.each([
    ["nothing", "", 0],
    ["the example of RFC 1071 section 3", "0001 f203 f4f5 f6f7", 0xddf2],
    ["an odd last byte as the high half of a word", "0001 f2", 0xf201],
    ["one carry", "ffff 0001", 1],
    ["all ones", "ffff ffff", 0xffff],
  ])("sums %s", (_, content, sum) => {
    expect(onesComplementSum(bytes(content))).toBe(sum);
  });

  it("takes parts as if they were laid end to end", () => {
    expect(onesComplementSum(bytes("0001 f203"), bytes("f4f5 f6"))).toBe(
      onesComplementSum(bytes("0001 f203 f4f5 f6")),
    );
  });

  it("folds the carries of the longest packet", () => {
    expect(onesComplementSum(new Uint8Array(65536).fill(0xff))).toBe(0xffff);
  });

  it("does not mind where in its buffer the bytes begin", () => {
    expect(onesComplementSum(bytes("aa 0001 f203").subarray(1))).toBe(0xf204);
  });
});

describe("updateChecksum", () => {
  it.each([
    ["the example of RFC 1624 section 4", 0xdd2f, "5555", "3285", 0x0000],
    ["nothing that changes", 0x1234, "abcd", "abcd", 0x1234],
    ["several words", 0xfffe, "0000 0001", "0001 0002", 0xfffc],
    ["a decrease", 0x0000, "0001", "0000", 0x0001],
  ])("follows %s", (_, checksum, before, after, updated) => {
    expect(updateChecksum(checksum, bytes(before), bytes(after))).toBe(updated);
  });
});

it("takes a sum out of another", () => {
  expect(subtractSum(0x0003, 0x0001)).toBe(0x0002);
  expect(subtractSum(0x0001, 0x0003)).toBe(0xfffd);
  // The two zeros of ones' complement.
  expect(subtractSum(0x1234, 0xffff)).toBe(0x1234);
  expect(subtractSum(0x1234, 0x0000)).toBe(0x1234);
});

it("makes a checksum from a sum", () => {
  expect(checksumOfSum(0xffff)).toBe(0);
  expect(checksumOfSum(0xddf2)).toBe(0x220d);
});

it("lays out a pseudo header as RFC 9293 section 3.1 does", () => {
  const addresses = { source: address("192.0.2.1"), destination: address("198.51.100.7") };
  expect(pseudoHeader(addresses, 17, 0x0123)).toEqual(bytes("c0000201 c6336407 00 11 0123"));
});
