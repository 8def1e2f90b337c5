import { describe, expect, it } from "vitest";
import {
  normaliseRule,
  normaliseRules,
  parseRules,
  RuleError,
  validateRules,
} from "../../../lib/rules/index.ts";

const drop = { kind: "drop" };
const encap = {
  kind: "funnel",
  mode: "encap",
  over: "tcp",
  dport: 179,
  sport: { kind: "fixed", port: 540 },
};
const one = [{ first: 80, last: 80 }];

const withMatch = (match: object) => ({ match: { transport: "tcp", ...match }, action: drop });
const withAction = (action: unknown) => ({ match: { transport: "tcp" }, action });
const withRanges = (ranges: unknown) => withMatch({ dport: { negate: false, ranges } });
const withPrefixes = (...prefixes: unknown[]) =>
  withMatch({ family: "ip", saddr: { negate: false, prefixes } });

function errorOf(work: () => unknown): RuleError {
  try {
    work();
  } catch (error) {
    if (error instanceof RuleError) {
      return error;
    }
    throw error;
  }
  throw new Error("no error");
}

describe("validateRules", () => {
  it("takes what parseRules returns", () => {
    const rules = parseRules(
      "ip saddr {10.0.0.0/8, 1.1.1.1} tcp sport 1-9 dport != {80, 443} port 7 " +
        "actions funnel udp dport 80 sport 1-9 every 20s\n" +
        'tcp actions unfunnel udp allow {2055, 4739} comment "c"\n' +
        "ip6 daddr ::/0 udp actions funnel tcp dport 1 sport keep\n" +
        "tcp actions funnel translate tcp dport 80\n" +
        "tcp actions unfunnel translate tcp allow 8080\n" +
        "tcp actions accept",
    );
    expect(() => validateRules(rules)).not.toThrow();
    expect(normaliseRules(rules)).toEqual(rules);
  });

  // rule, reason, message behind "rule 1: "
  it.each<[unknown, string, string]>([
    [undefined, "bad-data", "expected an object, found nothing"],
    [null, "bad-data", "expected an object, found null"],
    [[], "bad-data", "expected an object, found an array"],
    [
      "tcp actions drop",
      "bad-data",
      'expected an object, found "tcp actions drop" (parseRules reads rules from a string)',
    ],
    [{}, "bad-data", "match: expected an object, found nothing"],
    [{ match: { transport: "tcp" } }, "no-action", "action: expected an action, found nothing"],
    [
      { match: { transport: "tcp" }, action: drop, coment: "x" },
      "bad-data",
      'there is no property "coment" here (did you mean "comment"?)',
    ],
    [
      { match: { transport: "tcp" }, action: drop, comment: 1 },
      "bad-data",
      "comment: expected a string, found 1",
    ],
    [
      { match: { transport: "tcp" }, action: drop, comment: "a\nb" },
      "bad-string",
      'comment: expected a comment of one line without control characters, found "<U+000A>"',
    ],
    [
      { match: {}, action: drop },
      "no-transport",
      'match.transport: expected "tcp" or "udp", found nothing',
    ],
    [
      withMatch({ transport: "sctp" }),
      "no-transport",
      'match.transport: expected "tcp" or "udp", found "sctp"',
    ],
    [
      withMatch({ dprot: 80 }),
      "bad-data",
      'match: there is no property "dprot" here (did you mean "dport"?)',
    ],
    [withMatch({ dport: 80 }), "bad-data", "match.dport: expected an object, found 80"],
    [
      withMatch({ dport: { ranges: one } }),
      "bad-data",
      "match.dport.negate: expected true or false, found nothing",
    ],
    [
      withMatch({ dport: { negate: "no", ranges: one } }),
      "bad-data",
      'match.dport.negate: expected true or false, found "no"',
    ],
    [withRanges(undefined), "bad-data", "match.dport.ranges: expected an array, found nothing"],
    [
      withRanges([]),
      "empty-set",
      "match.dport.ranges: expected at least one element, found an empty array",
    ],
    [
      withRanges(new Array(1)),
      "bad-data",
      "match.dport.ranges[0]: expected an object, found nothing",
    ],
    [withRanges([80]), "bad-data", "match.dport.ranges[0]: expected an object, found 80"],
    [
      withRanges([{ first: 0, last: 9 }]),
      "bad-port",
      "match.dport.ranges[0].first: expected a port (1 to 65535), found 0",
    ],
    [
      withRanges([{ first: 1, last: 65536 }]),
      "bad-port",
      "match.dport.ranges[0].last: expected a port (1 to 65535), found 65536",
    ],
    [
      withRanges([{ first: 1 }]),
      "bad-port",
      "match.dport.ranges[0].last: expected a port (1 to 65535), found nothing",
    ],
    [
      withRanges([{ first: "1", last: 2 }]),
      "bad-port",
      'match.dport.ranges[0].first: expected a port (1 to 65535), found "1"',
    ],
    [
      withRanges([{ first: 9, last: 8 }]),
      "bad-range",
      "match.dport.ranges[0].last: expected a port not below 9, found 8",
    ],
    [
      withMatch({ family: "ipv4" }),
      "bad-data",
      'match.family: expected "ip" or "ip6", found "ipv4"',
    ],
    [
      withPrefixes(),
      "empty-set",
      "match.saddr.prefixes: expected at least one element, found an empty array",
    ],
    [
      withPrefixes("10.0.0.0/8"),
      "bad-data",
      'match.saddr.prefixes[0]: expected an object, found "10.0.0.0/8"',
    ],
    [
      withPrefixes({ address: "10.0.0.0/8", length: 8 }),
      "bad-address",
      'match.saddr.prefixes[0].address: expected an address as a string, found "10.0.0.0/8"',
    ],
    [
      withPrefixes({ address: "example.org", length: 8 }),
      "bad-address",
      'match.saddr.prefixes[0].address: expected an IPv4 or IPv6 address, found "example.org"',
    ],
    [
      withPrefixes({ address: "10.0.0.01", length: 8 }),
      "bad-address",
      'match.saddr.prefixes[0].address: expected an IPv4 or IPv6 address, found "10.0.0.01" (a number of an IPv4 address has no leading zero)',
    ],
    [
      withPrefixes({ address: "10.0.0.0", length: 33 }),
      "bad-address",
      "match.saddr.prefixes[0].length: expected a prefix length (0 to 32), found 33",
    ],
    [
      withPrefixes({ address: "10.0.0.0" }),
      "bad-address",
      "match.saddr.prefixes[0].length: expected a prefix length (0 to 32), found nothing",
    ],
    [
      withPrefixes({ address: "10.0.0.0", length: 8.5 }),
      "bad-address",
      "match.saddr.prefixes[0].length: expected a prefix length (0 to 32), found 8.5",
    ],
    [
      withPrefixes({ address: "::1", length: 128 }),
      "mixed-families",
      'match.saddr.prefixes[0].address: expected an IPv4 address, found "::1"',
    ],
    [
      withMatch({
        saddr: { negate: false, prefixes: [{ address: "::ffff:1.2.3.4", length: 128 }] },
      }),
      "bad-address",
      'match.saddr.prefixes[0].address: expected an IPv4 or IPv6 address, found "::ffff:1.2.3.4" (an IPv4-mapped address; packets carry 1.2.3.4)',
    ],
    [
      withAction({}),
      "unknown-action",
      'action.kind: expected "funnel", "unfunnel", "accept" or "drop", found nothing',
    ],
    [
      withAction({ kind: "dnat" }),
      "unknown-action",
      'action.kind: expected "funnel", "unfunnel", "accept" or "drop", found "dnat"',
    ],
    [withAction("drop"), "bad-data", 'action: expected an object, found "drop"'],
    [withAction([drop, drop]), "bad-data", "action: expected an object, found an array"],
    [
      withAction({ ...drop, dport: 1 }),
      "bad-data",
      'action: there is no property "dport" here (known are kind)',
    ],
    [
      withAction({ kind: "funnel" }),
      "bad-data",
      'action.mode: expected "encap" or "translate", found nothing',
    ],
    [
      withAction({ ...encap, over: "sctp" }),
      "bad-data",
      'action.over: expected "tcp" or "udp", found "sctp"',
    ],
    [
      withAction({ ...encap, dport: undefined }),
      "no-carrier-port",
      "action.dport: expected a port (1 to 65535), found nothing",
    ],
    [
      withAction({ ...encap, dport: 0 }),
      "bad-port",
      "action.dport: expected a port (1 to 65535), found 0",
    ],
    [
      withAction({ ...encap, sport: undefined }),
      "no-carrier-port",
      "action.sport: expected the source port of the carrier, found nothing",
    ],
    [
      withAction({ ...encap, sport: 540 }),
      "bad-data",
      "action.sport: expected an object, found 540",
    ],
    [
      withAction({ ...encap, sport: { kind: "random" } }),
      "bad-data",
      'action.sport.kind: expected "fixed", "keep" or "range", found "random"',
    ],
    [
      withAction({ ...encap, sport: { kind: "fixed", port: -0 } }),
      "bad-port",
      "action.sport.port: expected a port (1 to 65535), found -0",
    ],
    [
      withAction({ ...encap, sport: { kind: "range", first: 1, last: 9, every: 1.5 } }),
      "bad-duration",
      "action.sport.every: expected a whole number of seconds (1 to 86400), found 1.5",
    ],
    [
      withAction({ ...encap, sport: { kind: "range", first: 1, last: 2, every: 60 } }),
      "every-too-fast",
      "action.sport.every: the range comes round in 120 seconds (2 ports, 60 seconds each), but must take longer than 120, the SYN_SENT timeout of conntrack, or a carrier meets its own old entry (take 61s or longer, or 3 ports or more)",
    ],
    [
      withAction({ kind: "funnel", mode: "translate", over: "udp", dport: 80 }),
      "translate-only-tcp",
      'action.over: expected "tcp" (only TCP can be translated, and only over TCP), found "udp"',
    ],
    [
      {
        match: { transport: "udp" },
        action: { kind: "funnel", mode: "translate", over: "tcp", dport: 80 },
      },
      "translate-only-tcp",
      'match.transport: expected "tcp" (only TCP can be translated, and only over TCP), found "udp"',
    ],
    [
      withAction({
        kind: "funnel",
        mode: "translate",
        over: "tcp",
        dport: 80,
        sport: { kind: "keep" },
      }),
      "bad-data",
      'action: there is no property "sport" here (did you mean "dport"?)',
    ],
    [
      withAction({ kind: "unfunnel", inner: "tcp" }),
      "bad-data",
      'action.mode: expected "decap" or "translate", found nothing',
    ],
    [
      withAction({ kind: "unfunnel", mode: "decap", inner: "tcp", allow: [] }),
      "empty-set",
      "action.allow: expected at least one element, found an empty array",
    ],
    [
      withAction({ kind: "unfunnel", mode: "translate", inner: "tcp" }),
      "no-allow",
      "action.allow: expected the ports that may be put back, found nothing",
    ],
  ])("refuses %j", (rule, reason, message) => {
    const good = { match: { transport: "udp" }, action: drop };
    for (const refuse of [validateRules, normaliseRules]) {
      const error = errorOf(() => refuse([good, rule]));
      expect(error.message).toBe(`rule 1: ${message}`);
      expect(error).toMatchObject({ reason, rule: 1, line: undefined, operation: "validate" });
    }
  });

  it.each([
    [undefined, "expected an array of rules, found undefined"],
    [{}, "expected an array of rules, found an object"],
    [
      "tcp actions drop",
      'expected an array of rules, found "tcp actions drop" (parseRules reads rules from a string)',
    ],
  ])("refuses %j in the place of a list", (rules, message) => {
    expect(errorOf(() => validateRules(rules)).message).toBe(message);
    expect(errorOf(() => normaliseRules(rules)).message).toBe(message);
  });

  const canonical = withMatch({
    family: "ip",
    saddr: { negate: false, prefixes: [{ address: "10.0.0.0", length: 8 }] },
    dport: { negate: false, ranges: [{ first: 80, last: 81 }] },
  });

  // What only the strict check refuses.
  it.each<[string, object, string]>([
    [
      "unsorted ranges",
      {
        dport: {
          negate: false,
          ranges: [
            { first: 81, last: 81 },
            { first: 80, last: 80 },
          ],
        },
      },
      "match.dport.ranges: the ranges must be sorted, with no two that overlap or adjoin",
    ],
    [
      "host bits",
      { saddr: { negate: false, prefixes: [{ address: "10.0.0.1", length: 8 }] } },
      'match.saddr.prefixes[0].address: expected "10.0.0.0", the canonical address of this prefix, found "10.0.0.1"',
    ],
    [
      "no family",
      { family: undefined },
      'match.family: expected "ip", as the addresses are, found nothing',
    ],
  ])("normaliseRules puts right: %s", (_name, change, message) => {
    const rule = { ...canonical, match: { ...canonical.match, ...change } };
    expect(errorOf(() => validateRules([rule])).message).toBe(`rule 0: ${message}`);
    expect(normaliseRules([rule])).toEqual([canonical]);
  });

  it("returns a frozen copy that later changes do not reach", () => {
    const rule = structuredClone(canonical);
    const normal = normaliseRule(rule);
    expect(Object.isFrozen(rule)).toBe(false);
    expect(Object.isFrozen(normal.match.dport?.ranges)).toBe(true);
    rule.match.transport = "udp";
    expect(normal.match.transport).toBe("tcp");
  });

  it("takes properties that are undefined as left out", () => {
    const normal = normaliseRule({
      match: { transport: "tcp", sport: undefined, x: undefined },
      action: drop,
      comment: undefined,
    });
    expect(Object.keys(normal)).toEqual(["match", "action"]);
    expect(Object.keys(normal.match)).toEqual(["transport"]);
  });
});
