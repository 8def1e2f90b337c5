/** Frames and rulesets for fast-check. */

import fc from "fast-check";
import type { Family, Ruleset, Transport } from "../../lib/rules/types.ts";
import { type Checksum, ipv4, ipv6, type Layer, pad, tcp, udp, vlan } from "./packet.ts";
import { seededRandom } from "./random.ts";
import { randomFrame } from "./random-frames.ts";
import { randomRuleset } from "./random-rulesets.ts";

/** {@link randomFrame}; a failure names its seed instead of shrinking. */
export const arbitraryFrame: fc.Arbitrary<Uint8Array> = fc
  .noShrink(fc.nat(0xffffffff))
  .map((seed) => randomFrame(seededRandom(seed)));

/** {@link randomRuleset}. */
export const arbitraryRuleset: fc.Arbitrary<Ruleset> = fc
  .noShrink(fc.nat(0xffffffff))
  .map((seed) => randomRuleset(seededRandom(seed)));

export const arbitraryFamily: fc.Arbitrary<Family> = fc.constantFrom("ip", "ip6");

const arbitraryIpv6 = fc
  .array(fc.nat(0xffff), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.map((group) => group.toString(16)).join(":"));

/** An address in text. */
export function arbitraryAddress(family: Family): fc.Arbitrary<string> {
  return family === "ip" ? fc.ipV4() : arbitraryIpv6;
}

/** 1 to 65535. */
export const arbitraryPort: fc.Arbitrary<number> = fc.integer({ min: 1, max: 65535 });

const arbitraryPayload = fc.uint8Array({ maxLength: 80 });

const arbitraryOptions = fc
  .integer({ min: 0, max: 10 })
  .chain((words) => fc.uint8Array({ minLength: words * 4, maxLength: words * 4 }))
  // A larger MSS than packets under a carrier have room for is lowered: it comes out as another.
  .filter(
    (options) =>
      !options.some(
        (kind, at) => kind === 2 && options[at + 1] === 4 && (options[at + 2] ?? 0) > 58,
      ),
  );

/** A well-formed TCP or UDP layer whose checksum is right (or none, over UDP). Shrinks. */
export const arbitraryFlowLayer: fc.Arbitrary<{ transport: Transport; layer: Layer }> = fc.oneof(
  fc
    .record({
      sport: arbitraryPort,
      dport: arbitraryPort,
      checksum: fc.constantFrom<Checksum>("right", "right", "none"),
      content: arbitraryPayload,
    })
    .map(({ content, ...fields }) => ({ transport: "udp" as const, layer: udp(fields, content) })),
  fc
    .record({
      sport: arbitraryPort,
      dport: arbitraryPort,
      seq: fc.nat(0xffffffff),
      ack: fc.nat(0xffffffff),
      flags: fc.nat(0xff),
      window: fc.nat(0xffff),
      urgent: fc.nat(0xffff),
      options: arbitraryOptions,
      content: arbitraryPayload,
    })
    .map(({ content, ...fields }) => ({ transport: "tcp" as const, layer: tcp(fields, content) })),
);

const arbitraryIpv4Frame = fc
  .record({
    src: arbitraryAddress("ip"),
    dst: arbitraryAddress("ip"),
    ttl: fc.nat(255),
    tos: fc.nat(255),
    id: fc.nat(0xffff),
    df: fc.boolean(),
    options: arbitraryOptions,
    flow: arbitraryFlowLayer,
  })
  .map(({ flow, ...fields }) => ({
    family: "ip" as const,
    transport: flow.transport,
    frame: ipv4(fields, flow.layer),
  }));

const arbitraryIpv6Frame = fc
  .record({
    src: arbitraryAddress("ip6"),
    dst: arbitraryAddress("ip6"),
    hopLimit: fc.nat(255),
    trafficClass: fc.nat(255),
    flowLabel: fc.nat(0xfffff),
    flow: arbitraryFlowLayer,
  })
  .map(({ flow, ...fields }) => ({
    family: "ip6" as const,
    transport: flow.transport,
    frame: ipv6(fields, flow.layer),
  }));

/** A frame, of which family and transport are known. */
export interface FlowFrame {
  readonly family: Family;
  readonly transport: Transport;
  readonly frame: Uint8Array;
}

/** A well-formed frame that a rule on its transport funnels. Shrinks. */
export const arbitraryFlowFrame: fc.Arbitrary<FlowFrame> = fc
  .record({
    flow: fc.oneof(arbitraryIpv4Frame, arbitraryIpv6Frame),
    padding: fc.nat(6),
    tags: fc.array(fc.nat(4095), { maxLength: 2 }),
  })
  .map(({ flow: { frame, ...rest }, padding, tags }) => ({
    ...rest,
    frame: tags.reduce((inner, id) => vlan(inner, { id }), pad(frame, padding, 0xa5)),
  }));
