import { describe, expect, it } from "vitest";
import { formatRule, formatRules, parseRules, RuleError } from "../../../lib/rules/index.ts";

describe("formatRules", () => {
  // Left as written, right in the canonical spelling.
  it.each([
    ["dport 80 tcp actions drop", "tcp dport 80 actions drop"],
    [
      "udp actions funnel encap tcp sport 540 dport 179",
      "udp actions funnel tcp dport 179 sport 540",
    ],
    ["tcp actions funnel udp dport 1 sport keep", "tcp actions funnel udp dport 1 sport keep"],
    ["tcp actions funnel udp dport 1 sport 5-5", "tcp actions funnel udp dport 1 sport 5-5"],
    [
      "tcp actions funnel udp dport 1 sport 5-9 every 90s",
      "tcp actions funnel udp dport 1 sport 5-9 every 90s",
    ],
    [
      "tcp actions funnel udp dport 1 sport 5-9 every 60m",
      "tcp actions funnel udp dport 1 sport 5-9 every 1h",
    ],
    [
      "tcp actions funnel udp dport 1 sport 5-9 every 120s",
      "tcp actions funnel udp dport 1 sport 5-9 every 2m",
    ],
    ["tcp actions funnel translate tcp dport 80", "tcp actions funnel translate tcp dport 80"],
    ["tcp actions unfunnel decap udp allow {2,1,9}", "tcp actions unfunnel udp allow { 1-2, 9 }"],
    ["tcp actions unfunnel translate tcp allow 1", "tcp actions unfunnel translate tcp allow 1"],
    [
      "saddr != 1.2.3.4/32 udp port {9} actions accept",
      "ip saddr != 1.2.3.4 udp port 9 actions accept",
    ],
    [
      "tcp daddr {::1, 2001:DB8::1/32} sport != 1-2 actions drop",
      "ip6 daddr { ::1, 2001:db8::/32 } tcp sport != 1-2 actions drop",
    ],
    ['tcp actions drop comment "\\\\ \\""', 'tcp actions drop comment "\\\\ \\""'],
    ['tcp actions drop comment ""', 'tcp actions drop comment ""'],
  ])("writes %j as %j", (written, canonical) => {
    const rules = parseRules(written);
    expect(formatRules(rules)).toBe(canonical);
    expect(rules.map(formatRule)).toEqual([canonical]);
    expect(parseRules(canonical)).toEqual(rules);
  });

  it("writes one rule a line", () => {
    expect(formatRules(parseRules("tcp actions drop; udp actions drop"))).toBe(
      "tcp actions drop\nudp actions drop",
    );
    expect(formatRules([])).toBe("");
  });

  it("makes canonical text of data that are not canonical", () => {
    const rule = {
      match: {
        transport: "tcp" as const,
        daddr: { negate: false, prefixes: [{ address: "10.1.2.3", length: 8 }] },
        dport: {
          negate: false,
          ranges: [
            { first: 81, last: 81 },
            { first: 80, last: 80 },
          ],
        },
      },
      action: { kind: "drop" as const },
    };
    expect(formatRule(rule)).toBe("ip daddr 10.0.0.0/8 tcp dport 80-81 actions drop");
  });

  it("refuses data that are no rules, so that no text comes out that would not be read", () => {
    // @ts-expect-error: what a JavaScript user may do
    expect(() => formatRules([{ match: { transport: "tcp" } }])).toThrow(RuleError);
    // @ts-expect-error: what a JavaScript user may do
    expect(() => formatRule({ match: {}, action: { kind: "drop" } })).toThrow(
      'match.transport: expected "tcp" or "udp", found nothing',
    );
  });
});
