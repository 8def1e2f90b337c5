/** replace(): one step, counters that stay with their rules, and the old rules after a failure. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Funnel, limits, parseRules, udp as udpRule } from "../../lib/index.ts";
import { turnsDuring } from "../support/loop-turns.ts";
import { ipv4, payload, udp } from "../support/packet.ts";
import { countersOf } from "../support/table.ts";

const FUNNEL = "udp dport 2055 actions funnel tcp dport 179 sport 540";
const ACCEPT = "udp dport 4739 actions accept";
const DROP = "udp dport 6343 actions drop";

const frame = (dport: number) => ipv4({}, udp({ dport }, payload(58)));
/** Many addresses, each of its own. */
const address = (index: number) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
const from = (index: number) => ipv4({ src: address(index) }, udp({ dport: 9 }, payload(58)));
const BYTES = 14 + 20 + 8 + 58;

/** Milliseconds that a busy machine may take for as many rules as there can be. */
const MANY = 240_000;

describe("replace", () => {
  let funnel: Funnel;
  beforeEach(async () => {
    funnel = await Funnel.load({ egress: [FUNNEL, ACCEPT].join(";") });
  });
  afterEach(() => funnel?.close());

  const send = async (dport: number, count = 1) => {
    let outcome = "";
    for (let sent = 0; sent < count; sent++) {
      ({ outcome } = await funnel.testRun(frame(dport), { direction: "egress" }));
    }
    return outcome;
  };
  const rulePackets = async () =>
    (await funnel.stats()).egress.rules.map(({ packets, bytes }) => `${packets}/${bytes}`);

  it("keeps the counters of rules that stay, wherever they stand, and no others", async () => {
    await send(2055, 3);
    await send(4739, 2);
    expect(await rulePackets()).toEqual([`3/${3 * BYTES}`, `2/${2 * BYTES}`]);

    await funnel.replace({ egress: [DROP, ACCEPT, FUNNEL].join("\n") });
    expect(await rulePackets()).toEqual(["0/0", `2/${2 * BYTES}`, `3/${3 * BYTES}`]);
    await send(6343);
    await send(2055);
    expect(await rulePackets()).toEqual([`1/${BYTES}`, `2/${2 * BYTES}`, `4/${4 * BYTES}`]);

    // A rule that has gone and comes back begins anew.
    await funnel.replace({ egress: FUNNEL });
    await funnel.replace({ egress: [FUNNEL, ACCEPT].join(";") });
    expect(await rulePackets()).toEqual([`4/${4 * BYTES}`, "0/0"]);
  });

  it("knows a rule by what it says, not by how it was written", async () => {
    await send(2055);
    await funnel.replace({
      egress: [udpRule({ dport: 2055 }).funnel({ over: "tcp", sport: 540, dport: 179 })],
    });
    expect(await rulePackets()).toEqual([`1/${BYTES}`]);
    // The same match with another action is another rule.
    await funnel.replace({ egress: "udp dport 2055 actions funnel tcp dport 179 sport 541" });
    expect(await rulePackets()).toEqual(["0/0"]);
  });

  it("does not take a rule of the other direction for the same", async () => {
    await send(2055);
    await funnel.replace({ ingress: FUNNEL });
    const stats = await funnel.stats();
    expect(stats.ingress.rules.map(({ packets }) => packets)).toEqual([0]);
    expect(stats.egress.rules).toEqual([]);
  });

  it("counts a rule that stands twice at its first place", async () => {
    await funnel.replace({ egress: [ACCEPT, ACCEPT].join(";") });
    await send(4739, 2);
    expect(await rulePackets()).toEqual([`2/${2 * BYTES}`, "0/0"]);
  });

  it("keeps the counters of outcomes", async () => {
    await send(2055, 2);
    await funnel.replace({});
    await send(2055);
    expect(countersOf(await funnel.stats())).toEqual({
      "egress funneled": `2/${2 * BYTES}`,
      "egress no_match": `1/${BYTES}`,
    });
  });

  it("leaves a direction that is left out without rules", async () => {
    await funnel.replace({ ingress: FUNNEL });
    expect(await send(2055)).toBe("no_match");
    expect(funnel.rules.egress).toEqual([]);
    expect((await funnel.testRun(frame(2055), { direction: "ingress" })).outcome).toBe("funneled");
  });

  /** The old rules, with their counters, after whatever went wrong. */
  async function expectOldRulesInForce() {
    expect(funnel.rules.egress).toEqual(parseRules([FUNNEL, ACCEPT].join(";")));
    expect(await rulePackets()).toEqual([`1/${BYTES}`, "0/0"]);
    expect(await send(2055)).toBe("funneled");
    expect(await send(4739)).toBe("accepted");
    expect(await send(6343)).toBe("no_match");
    expect(await rulePackets()).toEqual([`2/${2 * BYTES}`, `1/${BYTES}`]);
    // And it is not stuck.
    await funnel.replace({ egress: DROP });
    expect(await send(6343)).toBe("dropped");
  }

  it.each([
    ["a malformed rule", "udp dport 2055 actions funel tcp dport 179 sport 540", "SFUNNEL_RULE"],
    ["a good rule and a bad one", `${DROP}; udp dport 0 actions drop`, "SFUNNEL_RULE"],
  ])("changes nothing for %s", async (_, egress, code) => {
    await send(2055);
    await expect(funnel.replace({ egress })).rejects.toMatchObject({ code });
    await expectOldRulesInForce();
  });

  it("changes nothing for a misspelt direction", async () => {
    await send(2055);
    const misspelt = { egres: DROP } as object;
    await expect(funnel.replace(misspelt)).rejects.toMatchObject({ code: "SFUNNEL_OPTION" });
    await expectOldRulesInForce();
  });

  it.each(["ingress", "egress"] as const)(
    "names limit and number of too many %s rules",
    async (direction) => {
      await send(2055);
      const [rule] = parseRules(DROP);
      const rules = Array.from(
        { length: limits.rules + 1 },
        () => rule as NonNullable<typeof rule>,
      );
      await expect(funnel.replace({ [direction]: rules })).rejects.toMatchObject({
        code: "SFUNNEL_LIMIT",
        what: `${direction} rules`,
        limit: limits.rules,
        found: limits.rules + 1,
        message: expect.stringContaining(
          `at most ${limits.rules} ${direction} rules, found ${limits.rules + 1}`,
        ),
      });
      await expectOldRulesInForce();
    },
  );

  it("takes as many rules as it says, in both directions at once, and all of them work; meanwhile others have their turns", {
    timeout: MANY,
  }, async () => {
    const rulesOf = (field: string) =>
      parseRules(
        Array.from(
          { length: limits.rules },
          (_, index) => `${field} ${address(index)} udp actions drop`,
        ).join("\n"),
      );
    const rules = rulesOf("saddr");
    const replaced = () => funnel.replace({ ingress: rules, egress: rules });
    // What is measured in milliseconds is for the bench. Here: it is not one long turn, nor a few.
    const { turns, largestPart } = await turnsDuring(replaced);
    expect(turns).toBeGreaterThan(100);
    expect(largestPart).toBeLessThan(0.25);
    for (const direction of ["ingress", "egress"] as const) {
      for (const index of [0, 1, limits.rules >> 1, limits.rules - 1]) {
        expect(await funnel.testRun(from(index), { direction })).toMatchObject({
          outcome: "dropped",
          rule: index,
        });
      }
      expect((await funnel.testRun(from(limits.rules), { direction })).outcome).toBe("no_match");
    }
    // A second ruleset of that size, with no rule in common, has room beside the first.
    const others = rulesOf("daddr");
    await funnel.replace({ ingress: others, egress: others });
    expect((await funnel.testRun(from(0), { direction: "egress" })).outcome).toBe("no_match");
    expect(countersOf(await funnel.stats())).not.toHaveProperty("egress rule 0");
  });
});

describe("turns of the event loop", () => {
  it("are missed while work is done at once", async () => {
    const rules = Array.from({ length: 5000 }, (_, index) => `udp dport ${1 + index} actions drop`);
    const { turns, largestPart } = await turnsDuring(async () => parseRules(rules.join("\n")));
    expect(turns).toBe(0);
    expect(largestPart).toBeGreaterThan(0.9);
  });
});
