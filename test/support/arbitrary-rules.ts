import fc from "fast-check";
import {
  type Action,
  type AddressMatch,
  type CarrierSourcePort,
  type Family,
  formatAddress,
  LONGEST_EVERY,
  maskAddress,
  normalisePorts,
  type PortMatch,
  type PortRange,
  type Prefix,
  type Rule,
  SYN_SENT_SECONDS,
  type Transport,
} from "../../lib/rules/index.ts";

export interface ArbitraryRuleOptions {
  /** Only what every part of sfunnel does: encap and decap only, no `every`. */
  readonly supportedOnly?: boolean;
}

/** Ports that tests meet again and again, so that rules overlap more often than by chance. */
const FAVOURITE_PORTS = [1, 80, 179, 443, 540, 2055, 4739, 6343, 8080, 65535];

export const arbitraryPort: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(...FAVOURITE_PORTS),
  fc.integer({ min: 1, max: 65535 }),
);

export const arbitraryTransport: fc.Arbitrary<Transport> = fc.constantFrom("tcp", "udp");

/** One port as often as a wider range. */
export const arbitraryPortRange: fc.Arbitrary<PortRange> = fc.oneof(
  arbitraryPort.map((port) => ({ first: port, last: port })),
  fc
    .tuple(arbitraryPort, arbitraryPort)
    .map(([one, other]) => ({ first: Math.min(one, other), last: Math.max(one, other) })),
);

/** Ranges as rules hold them: sorted and merged. */
export const arbitraryPortRanges: fc.Arbitrary<PortRange[]> = fc
  .array(arbitraryPortRange, { minLength: 1, maxLength: 5 })
  .map(normalisePorts);

export const arbitraryPortMatch: fc.Arbitrary<PortMatch> = fc.record({
  negate: fc.boolean(),
  ranges: arbitraryPortRanges,
});

/** A canonical prefix. Never inside ::ffff:0:0/96, which the rules refuse. */
export function arbitraryPrefix(family: Family): fc.Arbitrary<Prefix> {
  const bits = family === "ip" ? 32 : 128;
  // Bytes of 0 and 1 are frequent, so that prefixes nest and IPv6 has runs of zeros to compress.
  const byte = fc.oneof(fc.constantFrom(0, 0, 1, 10), fc.integer({ min: 0, max: 255 }));
  const length = fc.oneof(fc.constantFrom(0, 8, bits), fc.integer({ min: 0, max: bits }));
  return fc
    .tuple(fc.array(byte, { minLength: bits / 8, maxLength: bits / 8 }), length)
    .map(([bytes, prefixLength]) => ({
      address: formatAddress(maskAddress(Uint8Array.from(bytes), prefixLength)),
      length: prefixLength,
    }))
    .filter((prefix) => !(prefix.address.startsWith("::ffff:") && prefix.length >= 96));
}

export function arbitraryAddressMatch(family: Family): fc.Arbitrary<AddressMatch> {
  return fc.record({
    negate: fc.boolean(),
    prefixes: fc.uniqueArray(arbitraryPrefix(family), {
      minLength: 1,
      maxLength: 4,
      selector: ({ address, length }) => `${address}/${length}`,
    }),
  });
}

export function arbitraryCarrierSource(
  options: ArbitraryRuleOptions = {},
): fc.Arbitrary<CarrierSourcePort> {
  const range = arbitraryPortRange.map((ports) => ({ kind: "range" as const, ...ports }));
  const paced = arbitraryPortRange.chain((ports) => {
    const slowEnough = Math.floor(SYN_SENT_SECONDS / (ports.last - ports.first + 1)) + 1;
    return fc
      .oneof(
        fc.constantFrom(180, 3600, LONGEST_EVERY),
        fc.integer({ min: slowEnough, max: LONGEST_EVERY }),
      )
      .map((every) => ({ kind: "range" as const, ...ports, every }));
  });
  const always: fc.Arbitrary<CarrierSourcePort>[] = [
    arbitraryPort.map((port) => ({ kind: "fixed" as const, port })),
    fc.constant({ kind: "keep" as const }),
    range,
  ];
  return fc.oneof(...always, ...(options.supportedOnly ? [] : [paced]));
}

export function arbitraryAction(
  transport: Transport,
  options: ArbitraryRuleOptions = {},
): fc.Arbitrary<Action> {
  const encap: fc.Arbitrary<Action> = fc.record({
    kind: fc.constant("funnel"),
    mode: fc.constant("encap"),
    over: arbitraryTransport,
    dport: arbitraryPort,
    sport: arbitraryCarrierSource(options),
  });
  const decap: fc.Arbitrary<Action> = fc.record(
    {
      kind: fc.constant("unfunnel"),
      mode: fc.constant("decap"),
      inner: arbitraryTransport,
      allow: arbitraryPortRanges,
    },
    { requiredKeys: ["kind", "mode", "inner"] },
  );
  const translate: fc.Arbitrary<Action> = fc.oneof(
    fc.record({
      kind: fc.constant("funnel"),
      mode: fc.constant("translate"),
      over: fc.constant("tcp"),
      dport: arbitraryPort,
    }),
    fc.record({
      kind: fc.constant("unfunnel"),
      mode: fc.constant("translate"),
      inner: fc.constant("tcp"),
      allow: arbitraryPortRanges,
    }),
  );
  const plain: fc.Arbitrary<Action> = fc.constantFrom({ kind: "accept" }, { kind: "drop" });
  const translates = transport === "tcp" && !options.supportedOnly;
  return fc.oneof(encap, decap, plain, ...(translates ? [translate] : []));
}

/** Text that a comment may have: one line without control characters. */
export const arbitraryComment: fc.Arbitrary<string> = fc
  .oneof(
    fc.constantFrom("", '"', "\\", 'a "b" \\ c; # d', "grüße 🐝"),
    fc.string({ unit: "binary" }),
  )
  .map((text) => text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu, ""));

/** Any rule that the grammar can say, in canonical form. */
export function arbitraryRule(options: ArbitraryRuleOptions = {}): fc.Arbitrary<Rule> {
  const families: (Family | undefined)[] = ["ip", "ip6", undefined];
  return fc
    .record({ family: fc.constantFrom(...families), transport: arbitraryTransport })
    .chain(({ family, transport }) => {
      const ports = {
        sport: arbitraryPortMatch,
        dport: arbitraryPortMatch,
        port: arbitraryPortMatch,
      };
      const match =
        family === undefined
          ? fc.record(
              { transport: fc.constant(transport), ...ports },
              { requiredKeys: ["transport"] },
            )
          : fc.record(
              {
                family: fc.constant(family),
                transport: fc.constant(transport),
                saddr: arbitraryAddressMatch(family),
                daddr: arbitraryAddressMatch(family),
                ...ports,
              },
              { requiredKeys: ["family", "transport"] },
            );
      return fc.record(
        { match, action: arbitraryAction(transport, options), comment: arbitraryComment },
        { requiredKeys: ["match", "action"] },
      );
    });
}

/** A list of up to `maxLength` rules. */
export function arbitraryRules(
  options: ArbitraryRuleOptions & { readonly maxLength?: number } = {},
): fc.Arbitrary<Rule[]> {
  return fc.array(arbitraryRule(options), { maxLength: options.maxLength ?? 8 });
}
