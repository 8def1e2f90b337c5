/** The size that a SYN asks for, lowered: against a second way to find it, on random options. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { simulate } from "../../../lib/model/index.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import { bytes, checksumsOf, FLAG, ipv4, mss, patch, tcp } from "../../support/packet.ts";

const RULES = {
  egress: parseRules("tcp dport 2055 actions funnel tcp dport 179 sport 540"),
  ingress: parseRules("tcp dport 179 actions unfunnel tcp"),
};
const OPTIONS = 14 + 20 + 20;
const CARRIER = 20;

/** Where the size of the first MSS option among `options` is, found from their head on. */
function sizeOffset(options: readonly number[], at = 0): number | undefined {
  const [kind, length] = options;
  if (kind === undefined || kind === 0) return undefined;
  if (kind === 1) return sizeOffset(options.slice(1), at + 1);
  if (length === undefined || length < 2 || length > options.length) return undefined;
  if (kind === 2 && length === 4) return at + 2;
  return sizeOffset(options.slice(length), at + length);
}

const word = (frame: Uint8Array, offset: number) =>
  ((frame[offset] ?? 0) << 8) | (frame[offset + 1] ?? 0);

/** Options one after the other, most of them sound, cut or filled to whole words. */
const arbitraryOptions = fc
  .array(
    fc.oneof(
      fc.constant([1]),
      fc.nat(0xffff).map((size) => [...mss(size)]),
      fc.nat(0xffff).map((size) => [...mss(size)]),
      fc
        .tuple(fc.integer({ min: 2, max: 255 }), fc.uint8Array({ maxLength: 9 }))
        .map(([kind, content]) => [kind, content.length + 2, ...content]),
      fc.uint8Array({ minLength: 1, maxLength: 4 }).map((any) => [...any]),
    ),
    { maxLength: 8 },
  )
  .map((options) => {
    const all = options.flat().slice(0, 40);
    return Uint8Array.from([...all, ...Array(-all.length & 3).fill(1)]);
  });

describe("the MSS of random options", () => {
  it("is lowered where it is, and nothing else changes", () => {
    let found = 0;
    fc.assert(
      fc.property(
        arbitraryOptions,
        fc.integer({ min: 68, max: 70_000 }),
        fc.nat(0xff),
        (options, mtu, flags) => {
          const frame = ipv4({ dst: "198.51.100.7" }, tcp({ options, flags }));
          const { outcome, frame: pushed } = simulate(RULES, frame, { direction: "egress", mtu });
          if (frame.length - 14 + CARRIER > mtu) {
            expect(outcome).toBe("too_big");
            return;
          }

          const offset = (flags & FLAG.syn) === 0 ? undefined : sizeOffset([...options]);
          const size = offset === undefined ? 0 : word(options, offset);
          // No packet in a carrier is longer, whatever the device takes.
          const least = Math.min(size, Math.min(mtu, 16_000) - 40 - CARRIER);
          const expected =
            offset === undefined ? options : patch(options, offset, least >> 8, least & 0xff);
          if (least < size) found += 1;
          const start = OPTIONS + CARRIER;
          expect(pushed.subarray(start, start + options.length)).toEqual(expected);
          expect(checksumsOf(pushed, "tcp")).toEqual({
            ip: "right",
            outer: "right",
            inner: "right",
          });

          // The other side has nothing left to lower.
          const popped = simulate(RULES, pushed, { direction: "ingress", mtu });
          expect(popped.frame).toEqual(
            ipv4({ dst: "198.51.100.7" }, tcp({ options: expected, flags })),
          );
        },
      ),
      { numRuns: 3000 },
    );
    expect(found).toBeGreaterThan(100);
  });

  it("is left alone in a header that is not all there", () => {
    const frame = ipv4({}, tcp({ options: mss(1460), dataOffset: 7, flags: FLAG.syn }));
    const { outcome, frame: pushed } = simulate(RULES, frame, { direction: "egress", mtu: 1500 });
    expect(outcome).toBe("funneled");
    expect(pushed.subarray(OPTIONS + CARRIER)).toEqual(mss(1460));
  });

  it("is left alone in a header that is less than one", () => {
    for (const dataOffset of [0, 4, 5]) {
      const frame = ipv4({}, tcp({ dataOffset, flags: FLAG.syn }, mss(1460)));
      const { frame: pushed } = simulate(RULES, frame, { direction: "egress", mtu: 1500 });
      expect(pushed.subarray(OPTIONS + CARRIER)).toEqual(mss(1460));
    }
  });

  it("comes out as 0 in a checksum as anything else does", () => {
    // One more in the sequence number is one less in the checksum.
    const build = (seq: number, size: number) =>
      ipv4(
        {},
        tcp({ seq, options: bytes(1, 2, 4, size >> 8, size & 0xff, 1, 1, 1), flags: FLAG.syn }),
      );
    const checksumAt = 14 + 20 + 16 + CARRIER;
    const push = (seq: number, size: number) =>
      simulate(RULES, build(seq, size), { direction: "egress", mtu: 1500 }).frame;
    const seq = word(push(0, 1440), checksumAt);
    const pushed = push(seq, 1460);
    expect(word(pushed, checksumAt)).toBe(0);
    expect(pushed).toEqual(push(seq, 1440));
  });
});
