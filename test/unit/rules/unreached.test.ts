/** Rules that are never reached, found among many as among few. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Comparison, coversMatch } from "../../../lib/rules/cover.ts";
import { CoverIndex } from "../../../lib/rules/cover-index.ts";
import { checkRules, parseRules } from "../../../lib/rules/index.ts";
import { arbitraryRule } from "../../support/arbitrary-rules.ts";

describe("rules that cover others", () => {
  it("are all among those that are looked at, and those are few where rules differ", () => {
    fc.assert(
      fc.property(fc.array(arbitraryRule(), { minLength: 2, maxLength: 40 }), (rules) => {
        const comparison = new Comparison(1e9);
        const index = new CoverIndex(comparison);
        for (const [later, { match }] of rules.entries()) {
          const candidates = index.candidates(match);
          for (const [earlier, rule] of rules.slice(0, later).entries()) {
            if (coversMatch(rule.match, match, comparison)) expect(candidates).toContain(earlier);
          }
          expect(candidates).toEqual([...new Set(candidates)].sort((one, other) => one - other));
          index.add(later, match);
        }
      }),
      { numRuns: 300 },
    );
  });

  const many = Array.from(
    { length: 20_000 },
    (_, index) => `saddr 10.${index >> 8}.${index & 255}.0/24 udp dport 2055 actions accept`,
  );

  it.each([
    ["by one of the same prefix", "saddr 10.7.8.0/24 udp dport 2055 actions drop", 7 * 256 + 8],
    ["by one of a shorter prefix", "saddr 10.7.8.9 udp dport 2055 sport 9 actions drop", 1800],
    [
      "by one of them for all of a set",
      "saddr {10.1.2.3, 10.1.2.4} udp dport 2055 actions drop",
      258,
    ],
  ])("are named among 20,000: %s", (_, rule, deciding) => {
    const found = checkRules(parseRules([...many, rule].join("\n")));
    expect(found.map(({ code, rule: index }) => [code, index])).toEqual([
      ["never-reached", 20_000],
    ]);
    expect(found[0]?.message).toContain(`rule ${deciding} decides`);
  });

  it("are not made up: neighbours, other ports, and addresses of several rules are reached", () => {
    const others = [
      "saddr 11.0.0.0/24 udp dport 2055 actions drop",
      "saddr 10.7.8.0/24 udp dport 2056 actions drop",
      "saddr 10.7.8.0/23 udp dport 2055 actions drop",
      "saddr {10.1.2.3, 10.1.3.4} udp dport 2055 actions drop",
      "udp dport 2055 actions drop",
    ];
    expect(checkRules(parseRules([...many, ...others].join("\n")))).toEqual([]);
  });
});
