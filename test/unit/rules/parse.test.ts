import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { OptionError, SfunnelError } from "../../../lib/errors.ts";
import { formatRules, parseRules, RuleError } from "../../../lib/rules/index.ts";

const port = (first: number, last = first) => ({ negate: false, ranges: [{ first, last }] });

function errorOf(text: string): RuleError {
  try {
    parseRules(text);
  } catch (error) {
    if (error instanceof RuleError) {
      return error;
    }
    throw error;
  }
  throw new Error(`no error in: ${text}`);
}

describe("parseRules", () => {
  it("reads the rule of the original use case", () => {
    expect(parseRules("ip udp dport 2055 actions funnel tcp dport 179 sport 540")).toEqual([
      {
        match: { family: "ip", transport: "udp", dport: port(2055) },
        action: {
          kind: "funnel",
          mode: "encap",
          over: "tcp",
          dport: 179,
          sport: { kind: "fixed", port: 540 },
        },
      },
    ]);
  });

  it("reads a rule with everything in it", () => {
    const [rule] = parseRules(
      "ip6 saddr != { 2001:DB8::/32, fe80::/10, 2001:db8:0::/32 } daddr 2001:db8::5/128 " +
        "tcp sport {1024-2000,1000-1023} dport != 80 port 443 " +
        'actions funnel encap udp sport 540-549 every 5m dport 53 comment "a \\"b\\" \\\\ ; # c"',
    );
    expect(rule).toEqual({
      match: {
        family: "ip6",
        transport: "tcp",
        saddr: {
          negate: true,
          prefixes: [
            { address: "2001:db8::", length: 32 },
            { address: "fe80::", length: 10 },
          ],
        },
        daddr: { negate: false, prefixes: [{ address: "2001:db8::5", length: 128 }] },
        sport: port(1000, 2000),
        dport: { negate: true, ranges: [{ first: 80, last: 80 }] },
        port: port(443),
      },
      action: {
        kind: "funnel",
        mode: "encap",
        over: "udp",
        dport: 53,
        sport: { kind: "range", first: 540, last: 549, every: 300 },
      },
      comment: 'a "b" \\ ; # c',
    });
  });

  // Each pair means the same.
  it.each([
    ["dport 80 tcp actions drop", "tcp dport 80 actions drop"],
    ["sport 9 tcp dport 80 ip actions drop", "ip tcp sport 9 dport 80 actions drop"],
    ["tcp dport!=80 actions drop", "tcp dport != 80 actions drop"],
    ["tcp dport != {80} actions drop", "tcp dport != 80 actions drop"],
    ["tcp dport {80,443 , 8000 - 8099} actions drop", "tcp dport {443,80,8000-8099} actions drop"],
    ["tcp dport {\n 80,\n\n 443 # tls\n} actions drop", "tcp dport {80,443} actions drop"],
    ["tcp dport {80, {81, {443}}} actions drop", "tcp dport {80-81, 443} actions drop"],
    ["tcp dport 80-80 actions drop", "tcp dport 80 actions drop"],
    [
      "ip saddr 10.0.0.1 ip daddr 10.0.0.2 tcp dport 3 tcp sport 4 actions drop",
      "ip saddr 10.0.0.1 daddr 10.0.0.2 tcp sport 4 dport 3 actions drop",
    ],
    ["saddr 10.0.0.1 tcp actions drop", "ip saddr 10.0.0.1 tcp actions drop"],
    ["ip saddr {10.0.0.1, 10.0.0.1/32} tcp actions drop", "ip saddr 10.0.0.1 tcp actions drop"],
    ["ip daddr 48.25.115.78/24 tcp actions drop", "ip daddr 48.25.115.0/24 tcp actions drop"],
    ["udp actions funnel tcp sport 540 dport 179", "udp actions funnel tcp dport 179 sport 540"],
    [
      "udp actions funnel encap tcp dport 179 sport 540",
      "udp actions funnel tcp dport 179 sport 540",
    ],
    ["tcp actions unfunnel decap udp", "tcp actions unfunnel udp"],
    [
      "tcp actions unfunnel udp allow {4739, 2055}",
      "tcp actions unfunnel udp allow { 2055, 4739 }",
    ],
    [
      "tcp actions funnel udp dport 1 sport 1-2 every 120s",
      "tcp actions funnel udp dport 1 sport 1-2 every 2m",
    ],
    ["tcp\tdport\t80\tactions\tdrop\r", "tcp dport 80 actions drop"],
    ["\uFEFFtcp actions drop", "tcp actions drop"],
    ["tcp actions drop # why", "tcp actions drop"],
  ])("reads %j as %j", (written, same) => {
    expect(parseRules(written)).toEqual(parseRules(same));
  });

  it("reads lists of rules, one a line or separated by semicolons", () => {
    const text = "# head\n\n;; tcp actions drop;udp actions drop\r\n\ttcp actions accept ; \n# end";
    expect(formatRules(parseRules(text))).toBe(
      "tcp actions drop\nudp actions drop\ntcp actions accept",
    );
    for (const nothing of ["", "\n", ";", " # only a comment", "\r\n;\t\n"]) {
      expect(parseRules(nothing)).toEqual([]);
    }
  });

  it.each([
    ["tcp actions funnel tcp dport 80 sport keep", { kind: "keep" }],
    ["tcp actions funnel tcp dport 80 sport 540-549", { kind: "range", first: 540, last: 549 }],
    ["tcp actions funnel tcp dport 80 sport 540-540", { kind: "range", first: 540, last: 540 }],
    [
      "tcp actions funnel tcp dport 80 sport 540-549 every 13s",
      { kind: "range", first: 540, last: 549, every: 13 },
    ],
    [
      "tcp actions funnel tcp dport 80 sport 540-541 every 24h",
      { kind: "range", first: 540, last: 541, every: 86400 },
    ],
  ])("reads the source port of the carrier in %j", (text, sport) => {
    expect(parseRules(text)[0]?.action).toMatchObject({ sport });
  });

  it("reads translate", () => {
    const rules = parseRules(
      "tcp dport 8080 actions funnel translate tcp dport 80\n" +
        "tcp dport 80 actions unfunnel translate tcp allow 8080",
    );
    expect(rules.map(({ action }) => action)).toEqual([
      { kind: "funnel", mode: "translate", over: "tcp", dport: 80 },
      {
        kind: "unfunnel",
        mode: "translate",
        inner: "tcp",
        allow: [{ first: 8080, last: 8080 }],
      },
    ]);
  });

  it("freezes everything", () => {
    const frozen = (value: unknown): boolean =>
      typeof value !== "object" ||
      value === null ||
      (Object.isFrozen(value) && Object.values(value).every(frozen));
    const rules = parseRules(
      "ip saddr {10.0.0.0/8, 1.1.1.1} tcp dport {80, 443} actions funnel tcp dport 80 sport 1-9;" +
        "tcp actions unfunnel udp allow {2055, 4739}",
    );
    expect(frozen(rules)).toBe(true);
  });

  // What a shell hands over for the two-line example of the original's README.
  it.each([
    "ip tcp dport 80 sport 540 actions unfunnel tcp",
    "ip daddr 192.0.2.1 tcp port 443 actions funnel tcp dport 80 sport 540;" +
      "  ip daddr 192.0.2.1 tcp port 8080 actions funnel tcp dport 80 sport 540",
    "ip daddr 1.2.3.4 tcp port 443 actions funnel tcp dport 80 sport 540;\n" +
      "  ip daddr 1.2.3.4 tcp port 8080 actions funnel tcp dport 80 sport 540",
    "ip udp dport 2055 actions funnel tcp dport 179 sport 540",
    "tcp dport 179 sport 540 actions unfunnel udp",
    "ip saddr != 127.0.0.1 daddr 10.0.0.0/8 udp dport 1000 sport != 1000 actions accept",
    "tcp dport 179 sport 540 actions unfunnel udp allow {2055, 4739}",
    "sport 8080 tcp actions funnel tcp dport 80 sport 540",
  ])("reads the original's %j", (text) => {
    const rules = parseRules(text);
    expect(rules.length).toBeGreaterThan(0);
    expect(parseRules(formatRules(rules))).toEqual(rules);
  });

  it("reads the rules of all vectors taken from the original", () => {
    const file = new URL("../../vectors/encap.json", import.meta.url);
    const vectors: { ruleset: string }[] = JSON.parse(readFileSync(file, "utf8"));
    expect(vectors).toHaveLength(120);
    for (const { ruleset } of vectors) {
      expect(parseRules(ruleset), ruleset).toHaveLength(1);
    }
  });

  it("refuses anything but a string", () => {
    // @ts-expect-error: what a JavaScript user may do
    expect(() => parseRules(["tcp actions drop"])).toThrow(OptionError);
    // @ts-expect-error: what a JavaScript user may do
    expect(() => parseRules(undefined)).toThrow("expected the rules as a string, found undefined");
  });
});

describe("errors of parseRules", () => {
  const PORTS = "a port (1 to 65535), a range or a set";
  const TERM = 'a match (ip, ip6, saddr, daddr, tcp, udp, sport, dport or port) or "actions"';
  const ADDRESS = "an address or prefix (10.0.0.1, 10.0.0.0/8, 2001:db8::/32)";

  // text, line, column, reason, the sentence behind the place
  it.each<[string, number, number, string, string]>([
    ["tcp dport 0 actions drop", 1, 11, "bad-port", `expected ${PORTS}, found "0"`],
    ["tcp dport 65536 actions drop", 1, 11, "bad-port", `expected ${PORTS}, found "65536"`],
    ["tcp dport 080 actions drop", 1, 11, "bad-port", `expected ${PORTS}, found "080"`],
    ["tcp dport http actions drop", 1, 11, "unexpected", `expected ${PORTS}, found "http"`],
    ["tcp dport actions drop", 1, 11, "unexpected", `expected ${PORTS}, found "actions"`],
    ["tcp dport", 1, 10, "unexpected", `expected ${PORTS}, found the end of the rules`],
    [
      "tcp dport\n80 actions drop",
      1,
      10,
      "unexpected",
      `expected ${PORTS}, found the end of the line`,
    ],
    [
      "tcp dport 90-80 actions drop",
      1,
      11,
      "bad-range",
      'expected a range from the lower to the higher port, found "90-80" (write 80-90)',
    ],
    [
      "tcp dport 80- actions drop",
      1,
      15,
      "unexpected",
      'expected the last port of the range (80 to 65535), found "actions"',
    ],
    [
      "tcp dport 80-0 actions drop",
      1,
      14,
      "bad-port",
      'expected the last port of the range (80 to 65535), found "0"',
    ],
    [
      "tcp dport = 80 actions drop",
      1,
      11,
      "unexpected",
      `expected ${PORTS}, found "=" (equality needs no sign, its opposite is "!=")`,
    ],
    [
      "tcp dport not 80 actions drop",
      1,
      11,
      "unexpected",
      `expected ${PORTS}, found "not" (write "!=")`,
    ],
    [
      "tcp dport {} actions drop",
      1,
      11,
      "empty-set",
      `expected ${PORTS}, found an empty set (an empty set matches nothing)`,
    ],
    [
      "tcp dport { 80, { } } actions drop",
      1,
      17,
      "empty-set",
      `expected ${PORTS}, found an empty set (an empty set matches nothing)`,
    ],
    [
      "tcp dport {80,} actions drop",
      1,
      15,
      "unexpected",
      `expected ${PORTS}, found "}" (leave out the comma before it)`,
    ],
    ["tcp dport {80 443} actions drop", 1, 15, "unexpected", 'expected "," or "}", found "443"'],
    [
      "tcp dport {80, 443 actions drop",
      1,
      20,
      "unexpected",
      'expected "," or "}", found "actions" (the set from line 1, column 11 is not closed)',
    ],
    [
      "tcp dport {80,\n",
      2,
      1,
      "unexpected",
      `expected ${PORTS}, found the end of the rules (the set from line 1, column 11 is not closed)`,
    ],
    [
      "tcp dport 80, 443 actions drop",
      1,
      13,
      "unexpected",
      `expected ${TERM}, found "," (several ports or addresses are written { a, b })`,
    ],
    [
      "tcp dport 80 443 actions drop",
      1,
      14,
      "unexpected",
      `expected ${TERM}, found "443" (a port stands behind sport or dport, several are written { 80, 443 })`,
    ],
    [
      "tcp 10.0.0.1 actions drop",
      1,
      5,
      "unexpected",
      `expected ${TERM}, found "10.0.0.1" (an address stands behind saddr or daddr, several are written { a, b })`,
    ],
    [
      "tcp dprot 80 actions drop",
      1,
      5,
      "unexpected",
      `expected ${TERM}, found "dprot" (did you mean "dport"?)`,
    ],
    [
      "tcp src 10.0.0.1 actions drop",
      1,
      5,
      "unexpected",
      `expected ${TERM}, found "src" (did you mean "saddr"?)`,
    ],
    [
      "TCP dport 80 actions drop",
      1,
      1,
      "unexpected",
      `expected ${TERM}, found "TCP" (did you mean "tcp"?)`,
    ],
    [
      "tcp action drop",
      1,
      5,
      "unexpected",
      `expected ${TERM}, found "action" (did you mean "actions"?)`,
    ],
    ["icmp actions drop", 1, 1, "unexpected", `expected ${TERM}, found "icmp"`],
    [
      "ip saddr 10.0.0.0-10.0.0.9 tcp actions drop",
      1,
      18,
      "unexpected",
      `expected ${TERM}, found "-" (a range of addresses is written as prefixes)`,
    ],
    [
      "tcp != 80 actions drop",
      1,
      5,
      "unexpected",
      `expected ${TERM}, found "!=" ("!=" stands behind saddr, daddr, sport, dport or port)`,
    ],
    [
      "tcp drop",
      1,
      5,
      "no-action",
      `expected ${TERM}, found "drop" (write "actions" before "drop")`,
    ],
    ["tcp dport 80", 1, 13, "no-action", `expected ${TERM}, found the end of the rules`],
    ["tcp dport 80; actions drop", 1, 13, "no-action", `expected ${TERM}, found ";"`],
    [
      "tcp dport 80\nactions drop",
      1,
      13,
      "no-action",
      `expected ${TERM}, found the end of the line (a rule stands on one line)`,
    ],
    [
      "tcp dport 80 \\\nactions drop",
      1,
      14,
      "unexpected",
      `expected ${TERM}, found "\\" (a rule stands on one line; only a shell joins lines at a backslash)`,
    ],
    [
      "ip daddr <your LB IP1> tcp port 443 actions drop",
      1,
      10,
      "unexpected",
      `expected ${ADDRESS}, found "<" (put your own value in the place of <...>)`,
    ],
    [
      "ip saddr 10.0.0.01 tcp actions drop",
      1,
      10,
      "bad-address",
      `expected ${ADDRESS}, found "10.0.0.01" (a number of an IPv4 address has no leading zero)`,
    ],
    [
      "ip saddr 10.0.0.0/33 tcp actions drop",
      1,
      10,
      "bad-address",
      `expected ${ADDRESS}, found "10.0.0.0/33" (a prefix length is a number from 0 to 32)`,
    ],
    [
      "ip saddr localhost tcp actions drop",
      1,
      10,
      "bad-address",
      `expected ${ADDRESS}, found "localhost"`,
    ],
    [
      "ip saddr ! 10.0.0.1 tcp actions drop",
      1,
      10,
      "unexpected",
      `expected ${ADDRESS}, found "!" (equality needs no sign, its opposite is "!=")`,
    ],
    [
      "ip saddr {{10.0.0.1}} tcp actions drop",
      1,
      11,
      "unexpected",
      `expected ${ADDRESS}, found "{"`,
    ],
    [
      "ip saddr 2001:db8::1 tcp actions drop",
      1,
      10,
      "mixed-families",
      'a rule is about IPv4 or IPv6, not both: "2001:db8::1" contradicts "ip" at line 1, column 1 (write two rules)',
    ],
    [
      "saddr 10.0.0.1 tcp ip6 actions drop",
      1,
      20,
      "mixed-families",
      'a rule is about IPv4 or IPv6, not both: "ip6" contradicts "10.0.0.1" at line 1, column 7 (write two rules)',
    ],
    [
      "saddr {10.0.0.1, ::1} tcp actions drop",
      1,
      18,
      "mixed-families",
      'a rule is about IPv4 or IPv6, not both: "::1" contradicts "10.0.0.1" at line 1, column 8 (write two rules)',
    ],
    [
      "ip ip6 tcp actions drop",
      1,
      4,
      "mixed-families",
      'a rule is about IPv4 or IPv6, not both: "ip6" contradicts "ip" at line 1, column 1 (write two rules)',
    ],
    [
      "tcp udp actions drop",
      1,
      5,
      "both-transports",
      'a rule matches either tcp or udp, not both: "udp" contradicts "tcp" at line 1, column 1 (write two rules)',
    ],
    [
      "dport 80 actions drop",
      1,
      10,
      "no-transport",
      'a rule matches either tcp or udp, and this one names neither before "actions"',
    ],
    [
      "actions drop",
      1,
      1,
      "no-transport",
      'a rule matches either tcp or udp, and this one names neither before "actions"',
    ],
    [
      "tcp dport 80 tcp dport 81 actions drop",
      1,
      18,
      "repeated",
      '"dport" stands twice in this rule, first at line 1, column 5 (several values are written { a, b })',
    ],
    [
      "ip saddr 1.1.1.1 saddr 2.2.2.2 tcp actions drop",
      1,
      18,
      "repeated",
      '"saddr" stands twice in this rule, first at line 1, column 4 (several values are written { a, b })',
    ],
    [
      "tcp actions",
      1,
      12,
      "no-action",
      "expected an action (funnel, unfunnel, accept or drop), found the end of the rules",
    ],
    [
      "tcp actions dnat 10.0.0.1",
      1,
      13,
      "unknown-action",
      "dnat is not supported: sfunnel leaves IP addresses as they are (let nftables or the service do it)",
    ],
    [
      "tcp actions funel tcp dport 80 sport 540",
      1,
      13,
      "unknown-action",
      'expected an action (funnel, unfunnel, accept or drop), found "funel" (did you mean "funnel"?)',
    ],
    [
      "tcp actions reject",
      1,
      13,
      "unknown-action",
      'expected an action (funnel, unfunnel, accept or drop), found "reject" (did you mean "drop"?)',
    ],
    [
      "tcp actions accept drop",
      1,
      20,
      "several-actions",
      'a rule has one action, and "drop" would be its second (separate rules by a new line or a ;)',
    ],
    [
      "tcp actions funnel tcp dport 80 sport 1 accept",
      1,
      41,
      "several-actions",
      'a rule has one action, and "accept" would be its second (separate rules by a new line or a ;)',
    ],
    [
      "tcp actions drop tcp dport 80 actions drop",
      1,
      18,
      "unexpected",
      'expected "comment" or the end of the rule, found "tcp" (matches stand before "actions"; a new rule starts on a new line or behind a ;)',
    ],
    [
      "tcp actions funnel",
      1,
      19,
      "unexpected",
      'expected "tcp", "udp", "encap" or "translate", found the end of the rules',
    ],
    [
      "tcp actions funnel encap",
      1,
      25,
      "unexpected",
      'expected "tcp" or "udp", found the end of the rules',
    ],
    [
      "tcp actions funnel tpc dport 80 sport 1",
      1,
      20,
      "unexpected",
      'expected "tcp", "udp", "encap" or "translate", found "tpc" (did you mean "tcp"?)',
    ],
    [
      "tcp actions funnel tcp dport 80",
      1,
      32,
      "no-carrier-port",
      'expected "sport" and a port, found the end of the rules (a funnel names both ports of its carrier: funnel tcp dport 179 sport 540)',
    ],
    [
      "tcp actions funnel tcp sport 540;",
      1,
      33,
      "no-carrier-port",
      'expected "dport" and a port, found ";" (a funnel names both ports of its carrier: funnel tcp dport 179 sport 540)',
    ],
    [
      "tcp actions funnel tcp dport 80 sprot 540",
      1,
      33,
      "no-carrier-port",
      'expected "sport" and a port, found "sprot" (did you mean "sport"?)',
    ],
    [
      "tcp actions funnel tcp dport 80 dport 81 sport 1",
      1,
      33,
      "repeated",
      '"dport" of the carrier is named twice',
    ],
    [
      "tcp actions funnel tcp sport 1 sport 2 dport 80",
      1,
      32,
      "repeated",
      '"sport" of the carrier is named twice',
    ],
    [
      "tcp actions funnel tcp dport 80-90 sport 1",
      1,
      32,
      "no-carrier-port",
      'expected "sport" and a port, found "-" (a funnel names both ports of its carrier: funnel tcp dport 179 sport 540)',
    ],
    [
      "tcp actions funnel tcp dport keep sport 1",
      1,
      30,
      "unexpected",
      'expected a port (1 to 65535), found "keep"',
    ],
    [
      "tcp actions funnel tcp dport 80 sport {1, 2}",
      1,
      39,
      "unexpected",
      'expected a port (1 to 65535), a range such as 540-549, or "keep", found "{"',
    ],
    [
      "tcp actions funnel tcp dport 80 sport 540 every 30s",
      1,
      43,
      "every-without-range",
      '"every" moves through a range of source ports, and there is none before it',
    ],
    [
      "tcp actions funnel tcp dport 80 sport keep every 30s",
      1,
      44,
      "every-without-range",
      '"every" moves through a range of source ports, and there is none before it',
    ],
    [
      "tcp actions funnel tcp dport 80 sport 1-9 every 500ms",
      1,
      49,
      "bad-duration",
      'expected a duration in whole seconds, minutes or hours (30s, 5m, 2h), a day at most, found "500ms"',
    ],
    [
      "tcp actions funnel tcp dport 80 sport 1-9 every 30",
      1,
      49,
      "bad-duration",
      'expected a duration in whole seconds, minutes or hours (30s, 5m, 2h), a day at most, found "30"',
    ],
    [
      "tcp actions funnel tcp dport 80 sport 1-9 every 25h",
      1,
      49,
      "bad-duration",
      'expected a duration in whole seconds, minutes or hours (30s, 5m, 2h), a day at most, found "25h"',
    ],
    [
      "tcp actions funnel tcp dport 80 sport 1-10 every 12s",
      1,
      50,
      "every-too-fast",
      "the range comes round in 120 seconds (10 ports, 12 seconds each), but must take longer than 120, the SYN_SENT timeout of conntrack, or a carrier meets its own old entry (take 13s or longer, or 11 ports or more)",
    ],
    [
      "udp actions funnel translate tcp dport 80",
      1,
      20,
      "translate-only-tcp",
      "only TCP can be translated, and this rule matches udp (encap takes UDP too)",
    ],
    [
      "tcp actions funnel translate udp dport 80",
      1,
      30,
      "translate-only-tcp",
      "only TCP can be translated, and only over TCP (encap takes UDP too)",
    ],
    [
      "tcp actions funnel translate tcp",
      1,
      33,
      "no-carrier-port",
      'expected "dport" and a port, found the end of the rules (write for instance: funnel translate tcp dport 80)',
    ],
    [
      "tcp actions funnel translate tcp dport 80 sport 1",
      1,
      43,
      "translate-only-tcp",
      "funnel translate takes no sport: the flow keeps its own source port",
    ],
    [
      "udp actions unfunnel translate tcp allow 1",
      1,
      22,
      "translate-only-tcp",
      "only TCP can be translated, and this rule matches udp (encap takes UDP too)",
    ],
    [
      "tcp actions unfunnel translate tcp",
      1,
      35,
      "no-allow",
      'expected "allow" and ports, found the end of the rules (unfunnel translate names the ports that may be put back)',
    ],
    [
      "tcp actions unfunnel",
      1,
      21,
      "unexpected",
      'expected "tcp", "udp", "decap" or "translate", found the end of the rules',
    ],
    [
      "tcp actions unfunnel udp alow 2055",
      1,
      26,
      "unexpected",
      'expected "comment" or the end of the rule, found "alow" (did you mean "allow"?)',
    ],
    [
      "tcp actions unfunnel udp allow",
      1,
      31,
      "unexpected",
      `expected ${PORTS}, found the end of the rules`,
    ],
    ["tcp actions unfunnel udp allow != 1", 1, 32, "unexpected", `expected ${PORTS}, found "!="`],
    [
      "tcp actions drop comment why",
      1,
      26,
      "bad-string",
      'expected a comment in quotes ("..."), found "why"',
    ],
    [
      'tcp actions drop comment "why',
      1,
      26,
      "bad-string",
      'expected a closing " on the same line, found the end of the line',
    ],
    [
      'tcp actions drop comment "why\\',
      1,
      26,
      "bad-string",
      'expected a closing " on the same line, found the end of the line',
    ],
    [
      'tcp actions drop comment "why\\"\n"',
      1,
      26,
      "bad-string",
      'expected a closing " on the same line, found the end of the line',
    ],
    [
      'tcp actions drop comment "a\\n"',
      1,
      28,
      "bad-string",
      'expected \\" or \\\\ in a string, found "\\n"',
    ],
    [
      'tcp actions drop comment "a\u0007"',
      1,
      26,
      "bad-string",
      'expected a comment of one line without control characters, found "<U+0007>"',
    ],
    [
      'tcp actions drop comment "a\uD800"',
      1,
      26,
      "bad-string",
      'expected a comment of one line without control characters, found "<U+D800>"',
    ],
    [
      'tcp actions drop comment "a" comment "b"',
      1,
      30,
      "repeated",
      "a rule has one comment at most",
    ],
    [
      'comment "a" tcp actions drop',
      1,
      1,
      "unexpected",
      `expected ${TERM}, found "comment" (a comment stands behind the action)`,
    ],
    ['tcp "a" actions drop', 1, 5, "unexpected", `expected ${TERM}, found the string "a"`],
    ["tcp\u00a0dport 80 actions drop", 1, 4, "unexpected", `expected ${TERM}, found "<U+00A0>"`],
    ["tcp 🐝 actions drop", 1, 5, "unexpected", `expected ${TERM}, found "🐝"`],
    [
      `tcp ${"x".repeat(50)} actions drop`,
      1,
      5,
      "unexpected",
      `expected ${TERM}, found "${"x".repeat(37)}..."`,
    ],
  ])("names the place and the matter of %j", (text, line, column, reason, sentence) => {
    const error = errorOf(text);
    expect(error.message.split("\n")[0]).toBe(`line ${line}, column ${column}: ${sentence}`);
    expect(error).toMatchObject({ line, column, reason, rule: 0, code: "SFUNNEL_RULE" });
    expect(error).toBeInstanceOf(SfunnelError);
    expect(error.caret).toMatch(/^\s*\^$/);
    expect(error.caret).toHaveLength(column);
    expect(error.expected).toEqual(expect.any(String));
    expect(error.found).toEqual(expect.any(String));
  });

  it("counts lines and rules", () => {
    const error = errorOf(
      "# head\r\ntcp actions drop; udp actions drop\r\n\r\n  tcp dport 0 actions drop\r\n",
    );
    expect(error).toMatchObject({ line: 4, column: 13, rule: 2, found: '"0"' });
    expect(error.message.split("\n").slice(1)).toEqual([
      "    tcp dport 0 actions drop",
      `  ${" ".repeat(12)}^`,
    ]);
  });

  it("keeps tabs before the caret and replaces what does not show", () => {
    const { source, caret } = errorOf('\ttcp\tactions drop comment "\u0007" 80');
    expect(source).toBe('\ttcp\tactions drop comment "\uFFFD" 80');
    expect(caret).toBe(`\t   \t${" ".repeat("actions drop comment ".length)}^`);
  });

  it("shows about 100 columns of a long line, the place among them", () => {
    const ports = Array.from({ length: 1000 }, (_, index) => index + 1).join(",");
    const error = errorOf(`tcp dport {${ports},0,${ports}} actions drop`);
    const { source = "", caret = "" } = error;
    expect(source).toHaveLength(106);
    expect(source.startsWith("...")).toBe(true);
    expect(source.endsWith("...")).toBe(true);
    expect(source.slice(caret.length - 1).startsWith("0,1,2,")).toBe(true);
    expect(caret.length).toBeLessThan(100);
  });

  it("says nothing about the end of a long line that is not cut", () => {
    const comment = "x".repeat(200);
    const { source = "" } = errorOf(`tcp dport 0 actions drop comment "${comment}"`);
    expect(source.startsWith("tcp dport 0")).toBe(true);
    expect(source.endsWith("xxx...")).toBe(true);
  });

  it("neither recurses nor backtracks on hostile input", () => {
    const many = 200_000;
    expect(errorOf(`tcp dport ${"{".repeat(many)}`).reason).toBe("unexpected");
    expect(errorOf(`tcp dport ${"{".repeat(many)}80${"}".repeat(many - 1)}`).found).toBe(
      "the end of the rules",
    );
    expect(
      parseRules(`tcp dport ${"{".repeat(many)}80${"}".repeat(many)} actions drop`),
    ).toHaveLength(1);
    expect(errorOf(`tcp dport ${"9".repeat(many)} actions drop`).reason).toBe("bad-port");
    expect(errorOf(`ip saddr ${"1.".repeat(many)} tcp actions drop`).reason).toBe("bad-address");
    expect(errorOf(`ip saddr ${":".repeat(many)} tcp actions drop`).reason).toBe("bad-address");
    expect(errorOf(`tcp actions drop comment "${"\\\\".repeat(many)}`).reason).toBe("bad-string");
  });
});
