/** The generators have to reach every corner, or what compares with them proves little. */

import { expect, it } from "vitest";
import { OUTCOMES, type Outcome, Simulator, simulate } from "../../../lib/model/index.ts";
import { formatRules } from "../../../lib/rules/format.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import { contentStart } from "../../support/packet.ts";
import { seededRandom } from "../../support/random.ts";
import { randomError } from "../../support/random-errors.ts";
import { randomFrame } from "../../support/random-frames.ts";
import { randomRuleset } from "../../support/random-rulesets.ts";

const isIpv6 = (frame: Uint8Array) => (frame[contentStart(frame)] ?? 0) >> 4 === 6;

/** Each outcome's count among so many, of each family. */
function census(pairs: Iterable<readonly [Uint8Array, Outcome]>): Record<"ip" | "ip6", Outcome[]> {
  const counts = { ip: new Map<Outcome, number>(), ip6: new Map<Outcome, number>() };
  for (const [frame, outcome] of pairs) {
    const family = counts[isIpv6(frame) ? "ip6" : "ip"];
    family.set(outcome, (family.get(outcome) ?? 0) + 1);
  }
  const seldom = (family: Map<Outcome, number>) =>
    OUTCOMES.filter((outcome) => (family.get(outcome) ?? 0) < 20);
  return { ip: seldom(counts.ip), ip6: seldom(counts.ip6) };
}

it("reach every outcome of the model that a lone frame can have, and not seldom", () => {
  const random = seededRandom(1);
  const run = function* () {
    for (let rulesets = 0; rulesets < 450; rulesets += 1) {
      const ruleset = randomRuleset(random);
      for (let frames = 0; frames < 50; frames += 1) {
        const direction = random.chance(50) ? "egress" : "ingress";
        const mtu = random.pick([100, 1290, 1400, 1400]);
        const frame = randomFrame(random);
        yield [frame, simulate(ruleset, frame, { direction, mtu }).outcome] as const;
      }
    }
  };
  // Replies and errors take two frames; test/datapath/model.test.ts sends them in pairs.
  const later = [
    "error_unfunneled",
    "error_funneled",
    "quote_too_short",
    "direct_remapped",
    "translate_unconfirmed",
    "translate_challenged",
  ];
  const replies = [
    "reply_funneled",
    "reply_unfunneled",
    "no_free_port",
    "segmented",
    "no_segmenter",
  ];
  const seldom = (own: readonly string[]) =>
    OUTCOMES.filter((outcome) => [...replies, ...later, ...own, "failed"].includes(outcome));
  // What is no IP packet has no family, IPv4 has no extension headers, and of IPv6 each fits what
  // testRun takes, or is reported.
  expect(census(run())).toEqual({
    ip: seldom(["extension_header"]),
    ip6: seldom([]),
  });
});

it("make errors that are turned either way, cut short, or nothing to us, none of it seldom", () => {
  const random = seededRandom(4);
  const counts = { ip: new Map<Outcome, number>(), ip6: new Map<Outcome, number>() };
  for (let rounds = 0; rounds < 8000; rounds += 1) {
    const over = random.pick(["tcp", "udp"]);
    const funnels = random.chance(50);
    const rules = funnels
      ? `udp actions funnel ${over} dport 179 sport 540; tcp actions funnel ${over} dport 179 sport 540`
      : `${over} actions unfunnel udp`;
    const simulator = new Simulator({ egress: parseRules(rules) });
    const passed = simulator.run(randomFrame(random), { direction: "egress" });
    if (!passed.outcome.endsWith("funneled")) continue;
    const error = randomError(random, passed.frame);
    const { outcome } = simulator.run(error, { direction: "ingress" });
    const family = counts[isIpv6(passed.frame) ? "ip6" : "ip"];
    family.set(outcome, (family.get(outcome) ?? 0) + 1);
  }
  for (const family of Object.values(counts)) {
    const all = [...family.values()].reduce((sum, count) => sum + count, 0);
    const share = (outcome: Outcome) => (family.get(outcome) ?? 0) / all;
    expect(share("error_unfunneled")).toBeGreaterThan(0.2);
    expect(share("error_funneled")).toBeGreaterThan(0.05);
    expect(share("quote_too_short")).toBeGreaterThan(0.02);
    expect(share("not_tcp_udp")).toBeGreaterThan(0.1);
  }
});

it("make tags, none, one, two and too many, and packets beyond what Ethernet has", () => {
  const random = seededRandom(5);
  const starts = new Map<number, number>();
  let longest = 0;
  for (let index = 0; index < 5000; index += 1) {
    const frame = randomFrame(random);
    longest = Math.max(longest, frame.length);
    const start = contentStart(frame);
    starts.set(start, (starts.get(start) ?? 0) + 1);
  }
  for (const start of [14, 18, 22]) expect(starts.get(start)).toBeGreaterThan(50);
  expect(longest).toBeGreaterThan(3000);
});

it("say the same for the same seed", () => {
  const [one, other] = [seededRandom(7), seededRandom(7)];
  expect(randomRuleset(one)).toEqual(randomRuleset(other));
  for (let index = 0; index < 20; index += 1) {
    expect(randomFrame(one)).toEqual(randomFrame(other));
  }
});

it("make frames that BPF_PROG_TEST_RUN takes", () => {
  const random = seededRandom(2);
  for (let index = 0; index < 5000; index += 1) {
    const { length } = randomFrame(random);
    expect(length).toBeGreaterThanOrEqual(14);
    expect(length).toBeLessThanOrEqual(3500);
  }
});

it("make rules as canonical as the parser's", () => {
  const random = seededRandom(3);
  for (let index = 0; index < 200; index += 1) {
    const { ingress = [], egress = [] } = randomRuleset(random);
    for (const rules of [ingress, egress]) {
      expect(parseRules(formatRules(rules))).toEqual(rules);
    }
  }
});
