import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Comparison, coversMatch } from "../../lib/rules/cover.ts";
import {
  addressBytes,
  checkRules,
  formatAddress,
  formatDiagnostic,
  formatRules,
  type Match,
  normalisePorts,
  normaliseRules,
  type PortMatch,
  parseAddress,
  parseRules,
  validateRules,
} from "../../lib/rules/index.ts";
import { Tokenizer } from "../../lib/rules/tokens.ts";
import {
  arbitraryPort,
  arbitraryPortRange,
  arbitraryRule,
  arbitraryRules,
} from "../support/arbitrary-rules.ts";
import { arbitraryData, arbitraryText } from "../support/arbitrary-texts.ts";
import { checkDataRead, checkTextRead } from "../support/read-anything.ts";

describe("text and data", () => {
  it("data -> text -> data -> text loses nothing", () => {
    fc.assert(
      fc.property(arbitraryRules(), (rules) => {
        const text = formatRules(rules);
        const read = parseRules(text);
        expect(read).toEqual(rules);
        expect(formatRules(read)).toBe(text);
      }),
      { numRuns: 500 },
    );
  });

  it("arbitrary rules are valid and canonical, whichever way they are looked at", () => {
    fc.assert(
      fc.property(arbitraryRules(), (rules) => {
        validateRules(rules);
        expect(normaliseRules(rules)).toEqual(rules);
        expect(checkRules(rules).filter(({ severity }) => severity === "error")).toEqual([]);
      }),
    );
  });

  it("the supported subset keeps to itself", () => {
    fc.assert(
      fc.property(arbitraryRule({ supportedOnly: true }), ({ action }) => {
        expect(action).not.toMatchObject({ mode: "translate" });
        expect(action).not.toMatchObject({ sport: { every: expect.anything() } });
      }),
    );
  });

  it("line ends, semicolons, comments and blanks between rules change nothing", () => {
    const separator = fc.constantFrom("\n", ";", "\r\n", " ;\t", "\n\n", " # note ; tcp\n");
    fc.assert(
      fc.property(arbitraryRules(), separator, (rules, between) => {
        const text = rules.map((rule) => formatRules([rule])).join(between);
        expect(parseRules(text)).toEqual(rules);
      }),
    );
  });
});

describe("any text", () => {
  it("gives rules or a RuleError that points into it, and checkRules agrees", () => {
    fc.assert(
      fc.property(arbitraryText, (text) => {
        checkTextRead(text);
      }),
      { numRuns: 5000 },
    );
  });

  it("gives findings that point into it, which are written down in full", () => {
    fc.assert(
      fc.property(arbitraryText, (text) => {
        for (const diagnostic of checkRules(text)) {
          expect(formatDiagnostic(diagnostic)).toContain(diagnostic.message);
        }
      }),
    );
  });

  it("is cut into tokens that cover it once, in order", () => {
    fc.assert(
      fc.property(arbitraryText, (text) => {
        const tokenizer = new Tokenizer(text);
        let end = 0;
        for (let token = tokenizer.next(); token.kind !== "end"; token = tokenizer.next()) {
          expect(token.text.length).toBeGreaterThan(0);
          expect(token.offset).toBeGreaterThanOrEqual(end);
          expect(text.startsWith(token.text, token.offset)).toBe(true);
          end = token.offset + token.text.length;
        }
        expect(end).toBeLessThanOrEqual(text.length);
        expect(tokenizer.next().kind).toBe("end");
      }),
    );
  });
});

describe("any data", () => {
  it("gives rules or a RuleError, and checkRules agrees", () => {
    fc.assert(fc.property(arbitraryData, checkDataRead), { numRuns: 2000 });
  });
});

describe("addresses and ports", () => {
  it("IPv6 text is canonical: reading and writing it changes nothing more", () => {
    const bytes = fc
      .array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 })
      .map((array) => Uint8Array.from(array));
    fc.assert(
      fc.property(bytes, (address) => {
        const text = formatAddress(address);
        expect(parseAddress(text)).toEqual({ family: "ip6", bytes: address });
        expect(formatAddress(addressBytes(text))).toBe(text);
        // The URL parser of Node writes IPv6 as RFC 5952 does, save for mapped addresses.
        if (!text.includes(".")) {
          expect(new URL(`http://[${text}]/`).hostname).toBe(`[${text}]`);
        }
      }),
    );
  });

  it("normalised ports are the same ports in disjoint, sorted ranges", () => {
    const ranges = fc.array(arbitraryPortRange, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(ranges, fc.array(arbitraryPort), (written, ports) => {
        const normal = normalisePorts(written);
        const inside = (list: typeof written, port: number) =>
          list.some(({ first, last }) => first <= port && port <= last);
        const edges = written.flatMap(({ first, last }) => [first - 1, first, last, last + 1]);
        for (const port of [...ports, ...edges]) {
          expect(inside(normal, port)).toBe(inside(written, port));
        }
        for (const [index, { first }] of normal.entries()) {
          expect(first).toBeGreaterThan((normal[index - 1]?.last ?? -1) + 1);
        }
      }),
    );
  });
});

/** A packet, as far as rules look at one. */
interface Packet {
  readonly family: "ip" | "ip6";
  readonly transport: "tcp" | "udp";
  readonly saddr: bigint;
  readonly daddr: bigint;
  readonly sport: number;
  readonly dport: number;
}

/** What a match means, in the plainest words. */
function matches(match: Match, packet: Packet): boolean {
  const inPorts = ({ ranges }: PortMatch, port: number) =>
    ranges.some(({ first, last }) => first <= port && port <= last);
  const portHolds = (ports: PortMatch | undefined, port: number) =>
    ports === undefined || inPorts(ports, port) !== ports.negate;
  const addressHolds = (name: "saddr" | "daddr") => {
    const addresses = match[name];
    const inside = addresses?.prefixes.some(({ address, length }) => {
      const ignored = BigInt((packet.family === "ip" ? 32 : 128) - length);
      return number(addressBytes(address)) >> ignored === packet[name] >> ignored;
    });
    return addresses === undefined || inside !== addresses.negate;
  };
  return (
    (match.family === undefined || match.family === packet.family) &&
    match.transport === packet.transport &&
    addressHolds("saddr") &&
    addressHolds("daddr") &&
    portHolds(match.sport, packet.sport) &&
    portHolds(match.dport, packet.dport) &&
    (match.port === undefined ||
      (inPorts(match.port, packet.sport) || inPorts(match.port, packet.dport)) !==
        match.port.negate)
  );
}

const number = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);

describe("never-reached", () => {
  it("is only said where no packet of the later rule escapes the earlier one", () => {
    // Few values, so that rules and packets meet.
    const ports: fc.Arbitrary<PortMatch> = fc.record({
      negate: fc.boolean(),
      ranges: fc
        .array(
          fc
            .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 2 }))
            .map(([first, more]) => ({ first, last: first + more })),
          { minLength: 1, maxLength: 2 },
        )
        .map(normalisePorts),
    });
    const addresses = fc.record({
      negate: fc.boolean(),
      prefixes: fc.array(
        fc
          .tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 30, max: 33 }))
          .map(([host, length]) =>
            length === 33
              ? { address: "0.0.0.0", length: 0 }
              : { address: `10.0.0.${(host >> (32 - length)) << (32 - length)}`, length },
          ),
        { minLength: 1, maxLength: 2 },
      ),
    });
    const parts = { sport: ports, dport: ports, port: ports };
    const match: fc.Arbitrary<Match> = fc.oneof(
      fc.record(
        { transport: fc.constant("tcp" as const), ...parts },
        { requiredKeys: ["transport"] },
      ),
      fc.record(
        {
          family: fc.constant("ip" as const),
          transport: fc.constant("tcp" as const),
          saddr: addresses,
          daddr: addresses,
          ...parts,
        },
        { requiredKeys: ["family", "transport"] },
      ),
    );
    const base = number(addressBytes("10.0.0.0"));
    const hosts = [0n, 1n, 2n, 3n, 4n].map((host) => base + host);
    const packets: Packet[] = hosts.flatMap((saddr) =>
      [0n, 3n, 9n].flatMap((host) =>
        [0, 1, 2, 3, 4, 5, 6, 7].flatMap((sport) =>
          [0, 1, 2, 3, 4, 5, 6, 7].map((dport) => ({
            family: "ip" as const,
            transport: "tcp" as const,
            saddr,
            daddr: base + host,
            sport,
            dport,
          })),
        ),
      ),
    );
    // Half of the time the later rule adds to the earlier one, which makes it narrower.
    const pair = fc
      .tuple(match, match, fc.boolean())
      .map(([earlier, other, narrower]): [Match, Match] => [
        earlier,
        narrower ? { ...other, ...earlier } : other,
      ]);
    let covered = 0;
    fc.assert(
      fc.property(pair, ([earlier, later]) => {
        if (!coversMatch(earlier, later, new Comparison(1_000_000))) {
          return;
        }
        covered++;
        const escaped = packets.find(
          (packet) => matches(later, packet) && !matches(earlier, packet),
        );
        expect(escaped).toBeUndefined();
      }),
      { numRuns: 3000 },
    );
    // Or else the property holds because it says nothing.
    expect(covered).toBeGreaterThan(100);
  });

  it("is always said of a rule behind its own copy", () => {
    fc.assert(
      fc.property(arbitraryRule(), (rule) => {
        expect(coversMatch(rule.match, rule.match, new Comparison(1_000_000))).toBe(true);
        expect(checkRules([rule, rule]).some(({ code }) => code === "never-reached")).toBe(true);
      }),
    );
  });
});
