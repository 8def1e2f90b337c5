/** Counters of rules that stay, that go and that come, through many replaces. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { skipReason, titled } from "../support/native.ts";
import { ipv4, payload, udp } from "../support/packet.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { Ruled, type Sent } from "../support/ruled.ts";

/** A failure is repeated by its seed. */
const SEED = Number(process.env.SFUNNEL_FUZZ_SEED ?? Date.now() % 2 ** 32);

const DIRECTIONS = ["ingress", "egress"] as const;

/** A rule about one port, and rules with other things to say. */
function ruleOf(port: number): string {
  switch (port % 4) {
    case 0:
      return `udp dport ${port} actions funnel tcp dport 179 sport 540`;
    case 1:
      return `ip saddr { 10.0.0.0/8, 192.0.2.0/24 } udp dport { ${port}, 9 } actions drop`;
    default:
      return `udp dport ${port} actions accept`;
  }
}

/** Some of the rules about so many ports, in any order, some of them twice. */
function someRules(random: Random, ports: number, most: number): string {
  const rules = Array.from({ length: random.below(most + 1) }, () =>
    ruleOf(1000 + random.below(ports)),
  );
  return rules.join("\n");
}

function someFrames(random: Random, ports: number, count: number): Sent[] {
  return Array.from({ length: count }, () => ({
    direction: random.pick(DIRECTIONS),
    frame: ipv4({}, udp({ dport: 1000 + random.below(ports) }, payload(random.below(60)))),
  }));
}

describe.skipIf(skipReason)(titled(`counters of rules (seed ${SEED})`), () => {
  let ruled: Ruled;
  beforeEach(async () => {
    ruled = await Ruled.load();
  });
  afterEach(() => ruled?.close());

  /** So many replaces at random, and frames between them; gives how many of these met a rule. */
  async function replaceAgainAndAgain(
    random: Random,
    size: { readonly rounds: number; readonly ports: number; readonly frames: number },
  ): Promise<number> {
    const { rounds, ports, frames } = size;
    let met = 0;
    for (let round = 0; round < rounds; round++) {
      const ingress = someRules(random, ports, 0.6 * ports);
      const egress = someRules(random, ports, 0.6 * ports);
      await ruled.replace({ ingress, egress });
      const outcomes = await ruled.send(someFrames(random, ports, frames));
      met += outcomes.filter((outcome) => outcome !== "no_match").length;
      await ruled.expectCounters();
    }
    return met;
  }

  it("go on with their rules through 100 replaces at random", async () => {
    const size = { rounds: 100, ports: 40, frames: 12 };
    expect(await replaceAgainAndAgain(seededRandom(SEED), size)).toBeGreaterThan(200);
  });

  // At most 6,000 rules at a time, and so many old ones: up to twelve pages of 1,024.
  it("begin from zero wherever one was before, on pages that come as they are needed", async () => {
    const size = { rounds: 5, ports: 5000, frames: 150 };
    expect(await replaceAgainAndAgain(seededRandom(SEED + 1), size)).toBeGreaterThan(50);
  });
});
